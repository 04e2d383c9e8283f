import { ConcurrencyError } from "../../core/errors.ts";
import type { EventLog, StreamHead } from "../../core/store.ts";
import { chainHash, type EncodedEvent } from "./event.ts";

/** What an append resolves to. */
export interface Appended {
  /** The version of the last of the events. */
  readonly version: number;
  /** The hash of the last of the events. */
  readonly hash: string;
}

interface Call {
  readonly events: readonly EncodedEvent[];
  /** Undefined: any. */
  readonly expected: number | undefined;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: unknown) => void;
}

/** Appends to one stream that are on their way, and where the stream was last seen to end. */
interface Lane {
  head: StreamHead | undefined;
  readonly calls: Call[];
  isRunning: boolean;
}

/** Events of one write: more wait for the next, so that nobody waits for a very long one. */
const MAX_EVENTS = 2000;
/** Streams whose end is remembered. */
const MAX_KNOWN = 1000;

/**
 * Chains events and appends them. What is appended to one stream while a write of it is on its way goes as one write; a stream
 * that another process has appended to meanwhile is chained anew.
 */
export class Appender {
  readonly #log: EventLog;
  readonly #lanes = new Map<string, Lane>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  append(stream: string, events: readonly EncodedEvent[], expected: number | undefined): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const lane = this.#lane(stream);
      lane.calls.push({ events, expected, resolve, reject });
      if (!lane.isRunning) void this.#run(stream, lane);
    });
  }

  #lane(stream: string): Lane {
    let lane = this.#lanes.get(stream);
    if (lane !== undefined) return lane;
    lane = { head: undefined, calls: [], isRunning: false };
    this.#lanes.set(stream, lane);
    if (this.#lanes.size > MAX_KNOWN)
      for (const [name, { isRunning }] of this.#lanes) {
        if (isRunning || name === stream) continue;
        this.#lanes.delete(name);
        break;
      }
    return lane;
  }

  async #run(stream: string, lane: Lane): Promise<void> {
    lane.isRunning = true;
    // Whatever is appended in this turn of the event loop goes along.
    await Promise.resolve();
    while (lane.calls.length > 0) {
      try {
        const [first] = lane.calls as [Call];
        lane.head ??= await this.#log.head(stream);
        // What is remembered may be old; only the log knows that a writer comes too late.
        if (!fits(first, lane.head)) lane.head = await this.#log.head(stream);
        if (fits(first, lane.head)) await this.#write(stream, lane, lane.head);
        else await this.#refuse(stream, lane.calls.shift() as Call, lane.head);
      } catch (error) {
        lane.head = undefined;
        lane.calls.shift()?.reject(error);
      }
    }
    lane.isRunning = false;
  }

  async #write(stream: string, lane: Lane, head: StreamHead): Promise<void> {
    const taken: Call[] = [];
    const ends: StreamHead[] = [];
    const chained: { readonly body: string; readonly hash: string }[] = [];
    let end = head;
    for (const call of lane.calls) {
      if (!fits(call, end) || (taken.length > 0 && chained.length + call.events.length > MAX_EVENTS)) break;
      for (const { body } of call.events) {
        end = { version: end.version + 1, hash: chainHash(stream, end, body) };
        chained.push({ body, hash: end.hash });
      }
      taken.push(call);
      ends.push(end);
    }
    try {
      const { isStored, head: now } = await this.#log.append(stream, head.version, chained);
      lane.head = now;
      if (!isStored) return;
    } catch (error) {
      lane.head = undefined;
      lane.calls.splice(0, taken.length);
      for (const { reject } of taken) reject(error);
      return;
    }
    lane.calls.splice(0, taken.length);
    for (const [at, { resolve }] of taken.entries()) resolve(ends[at] as Appended);
  }

  /** It came too late, unless it is the repetition of an append that took place. */
  async #refuse(
    stream: string,
    { events, expected, resolve, reject }: Call,
    head: StreamHead,
  ): Promise<void> {
    const version = expected as number;
    try {
      const repeated = await this.#find(stream, events, version, head);
      if (repeated !== undefined) return resolve(repeated);
      reject(new ConcurrencyError(stream, version, head.version));
    } catch (error) {
      reject(error);
    }
  }

  /** Where these very events lie behind a version; undefined: others do. */
  async #find(
    stream: string,
    events: readonly EncodedEvent[],
    version: number,
    head: StreamHead,
  ): Promise<Appended | undefined> {
    const last = version + events.length;
    for (let at = version; head.version >= last && at < last;) {
      const stored = await this.#log.read(stream, at, last - at);
      for (const { version: n, hash, body } of stored) {
        if (idOf(body) !== events[n - version - 1]?.id) return undefined;
        if (n === last) return { version: n, hash };
      }
      if (stored.length === 0) return undefined;
      at += stored.length;
    }
    return undefined;
  }
}

function fits({ expected }: Call, { version }: StreamHead): boolean {
  return expected === undefined || expected === version;
}

function idOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { id?: unknown }).id;
  } catch {
    return undefined;
  }
}
