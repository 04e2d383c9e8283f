import { isWildcard, matchPattern } from "../../core/pattern.ts";
import { notConnected } from "./errors.ts";
import type { Lane } from "./keys.ts";
import { ENSURE } from "./scripts-publish.ts";
import type { Session } from "./session.ts";
import type { Channel, Topology } from "./topology.ts";

interface Registered {
  readonly pattern: string;
  readonly group: string;
}

/**
 * What all processes must agree on: which channels there are, and which groups want those that do not exist yet. Who uses a
 * channel first writes its name before reading the wildcard groups; who subscribes writes its pattern before reading the names:
 * whoever comes second sees the other.
 */
export class Registry {
  readonly #session: Session;
  readonly #topology: Topology;
  #version = "";
  #patterns: readonly Registered[] = [];

  constructor(session: Session, topology: Topology) {
    this.#session = session;
    this.#topology = topology;
  }

  /** Names of all channels. */
  async names(): Promise<readonly string[]> {
    const { keys } = this.#session;
    return (await this.#session.send(keys.channels, ["SMEMBERS", keys.channels])) as string[];
  }

  /** How many channels there are. */
  async count(): Promise<number> {
    const { keys } = this.#session;
    return (await this.#session.send(keys.channels, ["SCARD", keys.channels])) as number;
  }

  /** Writes a channel's name; true when it is new. */
  async add(channel: string): Promise<boolean> {
    const { keys } = this.#session;
    return (await this.#session.send(keys.channels, ["SADD", keys.channels, channel])) === 1;
  }

  async remove(channel: string): Promise<void> {
    const { keys } = this.#session;
    await this.#session.send(keys.channels, ["SREM", keys.channels, channel]);
  }

  /** Writes that a group wants every channel of a pattern, also those to come. */
  async want(pattern: string, group: string): Promise<void> {
    const { keys } = this.#session;
    const isNew = await this.#session.send(keys.patterns, [
      "HSET",
      keys.patterns,
      `${pattern} ${group}`,
      "1",
    ]);
    if (isNew === 1) await this.#session.send(keys.patternsVersion, ["INCR", keys.patternsVersion]);
  }

  /** Makes a lane of a channel with every group that must have it. Rejects with the client's own errors. */
  async prepare(channel: Channel, lane: Lane): Promise<void> {
    const isNew = await this.add(channel.name);
    const wanting = await this.#wanting(channel.name);
    const known = [...channel.known, ...channel.groups.keys()];
    const groups = (await this.#session.run(ENSURE, channel.base, [
      lane,
      ...new Set([...wanting, ...known]),
    ])) as string[];
    for (const group of groups) channel.known.add(group);
    if (isNew) this.onNew(channel.name);
  }

  /** Writes again what this process knows, for a server that has lost it. */
  async restore(): Promise<void> {
    if (!this.#session.isUp) throw notConnected();
    const { keys } = this.#session;
    for (const channel of this.#topology.channels.values()) {
      channel.doubt();
      await this.add(channel.name);
    }
    for (const { pattern, group } of [...this.#patterns, ...this.#topology.wildcards()])
      await this.want(pattern, group);
    await this.#session.send(keys.marker, ["SET", keys.marker, "1"]);
  }

  /** Set by the broker: a channel was made here. */
  onNew: (channel: string) => void = () => {};

  async #wanting(channel: string): Promise<string[]> {
    const { keys } = this.#session;
    const version = String(await this.#session.send(keys.patternsVersion, ["GET", keys.patternsVersion]));
    if (version !== this.#version) {
      const reply = (await this.#session.send(keys.patterns, ["HKEYS", keys.patterns])) as string[];
      this.#patterns = reply.map(parse).filter(({ pattern }) => isWildcard(pattern));
      this.#version = version;
    }
    return this.#patterns.filter(({ pattern }) => matchPattern(pattern, channel)).map(({ group }) => group);
  }
}

/** A pattern holds no space; a group may hold any. */
function parse(field: string): Registered {
  const at = field.indexOf(" ");
  return { pattern: field.slice(0, at), group: field.slice(at + 1) };
}
