import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import type { Envelope } from "../../core/envelope.ts";

/**
 * One stream of a channel: `""` for messages of default priority, `p07` for those of another, `keyed` for those that have
 * a partition key: their order is kept, so they have one lane whatever their priority.
 */
export type Lane = string;

/** The lane of plain messages; its stream has the channel's own name. */
export const DEFAULT_LANE: Lane = "";
/** The lane of messages with a partition key. */
export const KEYED_LANE: Lane = "keyed";
/** The consumer that holds what waits inside Redis: for its retry, for its key, to be handed out again. */
export const KEEPER = "~";

/** Names of keys. All keys of one channel hold `{channel}` and so lie in one slot of a cluster. */
export class Keys {
  readonly channels: string;
  readonly patterns: string;
  readonly patternsVersion: string;
  readonly marker: string;
  readonly sweeper: string;
  /** The pub/sub channel of wake-ups. */
  readonly wake: string;
  /** Names of the event streams. */
  readonly streams: string;
  /** The pub/sub channel that says which event stream has grown. */
  readonly grown: string;
  readonly #prefix: string;

  constructor(namespace: string) {
    this.#prefix = `herald:${namespace}:`;
    this.channels = `${this.#prefix}channels`;
    this.patterns = `${this.#prefix}patterns`;
    this.patternsVersion = `${this.#prefix}patterns:version`;
    this.marker = `${this.#prefix}marker`;
    this.sweeper = `${this.#prefix}sweeper`;
    this.wake = `${this.#prefix}wake`;
    this.streams = `${this.#prefix}streams`;
    this.grown = `${this.#prefix}grown`;
  }

  /** The stream of the channel's default lane; every other key of the channel begins so. */
  base(channel: string): string {
    return `${this.#prefix}{${channel}}`;
  }

  /** The pub/sub channel of a channel that is not stored. */
  ephemeral(channel: string): string {
    return `${this.#prefix}live:${channel}`;
  }

  /** The ids that a group has handled. */
  inbox(group: string): string {
    return `${this.#prefix}inbox:{${group}}`;
  }

  /** One event stream. */
  stream(name: string): string {
    return `${this.#prefix}events:{${name}}`;
  }

  /** The values of one space. */
  values(space: string): string {
    return `${this.#prefix}values:{${space}}`;
  }
}

/** The lane of an envelope. */
export function laneOf(envelope: Pick<Envelope, "key" | "priority">): Lane {
  if (envelope.key !== undefined) return KEYED_LANE;
  const { priority } = envelope;
  if (priority === DEFAULT_PRIORITY) return DEFAULT_LANE;
  return priority < 10 ? `p0${priority}` : `p${priority}`;
}

/** The stream of a lane. */
export function streamOf(base: string, lane: Lane): string {
  return lane === DEFAULT_LANE ? base : `${base}:${lane}`;
}

/** The place of an entry as text: the entry's id, and its lane unless that is the default one. */
export function positionOf(lane: Lane, id: string): string {
  return lane === DEFAULT_LANE ? id : `${id}/${lane}`;
}

/** A position taken apart, or undefined when it is none. */
export function parsePosition(position: string): { readonly id: string; readonly lane: Lane } | undefined {
  const match = /^(\d{1,20}-\d{1,20})(?:\/(p\d\d|keyed))?$/.exec(position);
  return match === null ? undefined : { id: match[1] as string, lane: match[2] ?? DEFAULT_LANE };
}

/** Orders entry ids as Redis does. */
export function compareIds(a: string, b: string): number {
  const [aMs = "", aSeq = ""] = a.split("-");
  const [bMs = "", bSeq = ""] = b.split("-");
  return compareDigits(aMs, bMs) || compareDigits(aSeq, bSeq);
}

function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The id just before another: where a group stands that is to read that one next. */
export function idBefore(id: string): string {
  const [ms = "0", seq = "0"] = id.split("-");
  if (BigInt(seq) > 0n) return `${ms}-${BigInt(seq) - 1n}`;
  return BigInt(ms) > 0n ? `${BigInt(ms) - 1n}-18446744073709551615` : "0-0";
}
