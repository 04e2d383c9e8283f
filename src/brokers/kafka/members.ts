import { deflateRawSync, inflateRawSync } from "node:zlib";
import { matchPattern } from "../../core/pattern.ts";
import { hashOf } from "./names.ts";

/** What one process says of itself when processes find each other. */
export interface MemberInfo {
  /** Patterns of each group that it subscribes to. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** What it handles of each group, `channel partition`; `*`: everything. */
  readonly held: Readonly<Record<string, readonly string[] | "*">>;
}

/** All processes, as they agreed on it. */
export class Members {
  readonly me: string;
  readonly #ids: readonly string[];
  readonly #infos: ReadonlyMap<string, MemberInfo>;

  constructor(me: string, infos: ReadonlyMap<string, MemberInfo>) {
    this.me = me;
    this.#infos = infos;
    this.#ids = [...infos.keys()].toSorted();
  }

  get size(): number {
    return this.#ids.length;
  }

  /** Has this process said that it has this group? */
  hasSaid(group: string): boolean {
    return this.#infos.get(this.me)?.groups[group] !== undefined;
  }

  /** Has this process said that it subscribes to this channel? */
  hasSaidChannel(group: string, channel: string): boolean {
    const said = this.#infos.get(this.me)?.groups[group];
    return said?.some((pattern) => matchPattern(pattern, channel)) === true;
  }

  /** Groups of which this process has said that it handles everything, and which another has too. */
  get contested(): readonly string[] {
    const held = this.#infos.get(this.me)?.held ?? {};
    return Object.keys(held).filter((group) => held[group] === "*" && this.isElsewhere(group));
  }

  /** Does another process have this group, or still something of it that it has not given up? */
  isElsewhere(group: string): boolean {
    return this.#ids.some((id) => {
      const info = id === this.me ? undefined : this.#infos.get(id);
      return info?.groups[group] !== undefined || info?.held[group] !== undefined;
    });
  }

  /** True when there is no other process. */
  get isAlone(): boolean {
    return this.#ids.length <= 1;
  }

  /**
   * Does this process, which subscribes to it, handle a partition of a channel for a group? Whoever handles something goes on until
   * it has given it up, and says so. What the others have not heard that this process has, it does not handle.
   */
  isMine(group: string, channel: string, partition: number): boolean {
    if (this.isAlone) return true;
    if (!this.hasSaid(group)) return false;
    if (!this.isElsewhere(group)) return true;
    if (!this.hasSaidChannel(group, channel)) return false;
    const key = `${channel} ${partition}`;
    const hosts: string[] = [];
    for (const id of this.#ids) {
      if (id === this.me) hosts.push(id);
      else if (this.#infos.get(id)?.groups[group]?.some((pattern) => matchPattern(pattern, channel)) === true)
        hosts.push(id);
    }
    const target = hosts[(hashOf(`${group} ${channel}`) + partition) % hosts.length];
    if (target !== this.me) return false;
    return !this.#ids.some((id) => id !== this.me && this.#holds(id, group, key));
  }

  #holds(id: string, group: string, key: string): boolean {
    const held = this.#infos.get(id)?.held[group];
    return held === "*" || held?.includes(key) === true;
  }
}

/** What a process says, as bytes. */
export function encodeInfo(info: MemberInfo): Buffer {
  return deflateRawSync(JSON.stringify(info));
}

export function decodeInfo(bytes: Uint8Array): MemberInfo {
  return JSON.parse(inflateRawSync(bytes).toString("utf8")) as MemberInfo;
}

/** What all have said, as one. */
export function encodeAll(all: Iterable<readonly [id: string, said: Buffer]>): Buffer {
  return deflateRawSync(JSON.stringify([...all].map(([id, said]) => [id, said.toString("base64")])));
}

export function decodeAll(bytes: Uint8Array): ReadonlyMap<string, Buffer> {
  if (bytes.length === 0) return new Map();
  const all = JSON.parse(inflateRawSync(bytes).toString("utf8")) as readonly [string, string][];
  return new Map(all.map(([id, said]) => [id, Buffer.from(said, "base64")]));
}
