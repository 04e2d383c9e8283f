import { systemClock, type Clock } from "../../core/clock.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { checkChannel, checkPattern, matchPattern } from "../../core/pattern.ts";
import type { Stores, StoresSource } from "../../core/store.ts";
import { storesOf } from "../stores.ts";
import { Appender, type Appended } from "./appender.ts";
import { decodeEvent, encodeEvent, type NewEvent, type StoredEvent } from "./event.ts";
import { upcaster, type Upcast, type Upcasters } from "./upcast.ts";
import { verifyStream, type Anchor, type Verified } from "./verify.ts";
import { Wakes } from "./wakes.ts";

/** Options of an event store. */
export interface EventStoreOptions {
  readonly clock?: Clock;
  /** By type of event: what makes of an old one what a program reads today. Hashes stay those of what was stored. */
  readonly upcasters?: Upcasters;
}

/** Which version an append expects. */
export interface AppendOptions {
  /** The version that the stream must have, 0 for a new one. Default `any`. */
  readonly expectedVersion?: number | "any";
}

/** Which part of a stream to read. */
export interface ReadOptions {
  /** The first version, 1 unless said otherwise. */
  readonly fromVersion?: number;
  /** The last version; default: what is there. */
  readonly toVersion?: number;
}

/** Events that are read at once. */
const PAGE = 500;
const MAX_BATCH = 10_000;

/**
 * Streams of events that are only ever added to, over the stores of a broker or of a service, or over {@link Stores}. Every
 * stream is a chain of SHA-256 hashes, so that what was changed afterwards is found.
 */
export class EventStore {
  /** The stores it works on. */
  readonly stores: Stores;
  readonly clock: Clock;
  readonly #appender: Appender;
  readonly #upcast: Upcast;

  /** Throws `UNSUPPORTED` for a broker that keeps no streams. */
  constructor(source: Stores | StoresSource, options: EventStoreOptions = {}) {
    this.stores = storesOf(source);
    this.clock = options.clock ?? systemClock;
    this.#upcast = upcaster(options.upcasters ?? {});
    this.#appender = new Appender(this.stores.events);
  }

  /**
   * Adds one event or several, all or none; resolves once they are stored as durably as the store keeps. Rejects with
   * ConcurrencyError (`CONFLICT`) when the stream has another version than expected, `INVALID_CHANNEL` (the stream's name),
   * `INVALID_ARGUMENT`, `UNSERIALIZABLE`, `DEPTH_LIMIT`, `MESSAGE_TOO_LARGE`, `PUBLISH_UNKNOWN` (append again with the same ids and the same
   * expected version), and what the store rejects with.
   */
  async append(
    stream: string,
    events: NewEvent | readonly NewEvent[],
    options: AppendOptions = {},
  ): Promise<Appended> {
    checkChannel(stream);
    const { expectedVersion = "any" } = options;
    if (expectedVersion !== "any") checkVersion("expectedVersion", expectedVersion, 0);
    const all = Array.isArray(events) ? (events as readonly NewEvent[]) : [events as NewEvent];
    if (all.length === 0 || all.length > MAX_BATCH) throw wrongBatch(all.length);
    const now = this.clock.now();
    const encoded = all.map((event) => encodeEvent(event, now));
    return await this.#appender.append(
      stream,
      encoded,
      expectedVersion === "any" ? undefined : expectedVersion,
    );
  }

  /** The events of a stream in their order; none for a stream that is not there. */
  async *read(stream: string, options: ReadOptions = {}): AsyncGenerator<StoredEvent, void> {
    checkChannel(stream);
    const { fromVersion = 1, toVersion = Infinity } = options;
    checkVersion("fromVersion", fromVersion, 1);
    let after = fromVersion - 1;
    while (after < toVersion) {
      const logged = await this.stores.events.read(stream, after, Math.min(PAGE, toVersion - after));
      for (const event of logged) yield this.#upcast(decodeEvent(stream, event));
      const last = logged.at(-1);
      if (last === undefined) return;
      after = last.version;
    }
  }

  /** The number of the stream's last event; 0 for a stream that is not there. */
  async version(stream: string): Promise<number> {
    checkChannel(stream);
    return (await this.stores.events.head(stream)).version;
  }

  /** Names of the streams that a pattern covers, sorted. */
  async streams(pattern = "#"): Promise<readonly string[]> {
    checkPattern(pattern);
    return (await this.stores.events.streams()).filter((name) => matchPattern(pattern, name));
  }

  /**
   * Every event of a stream from a version on, those that are there and those that come, each once and in order, until the
   * loop is left or the signal fires.
   */
  async *subscribe(
    stream: string,
    options: { readonly fromVersion?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<StoredEvent, void> {
    checkChannel(stream);
    const { fromVersion = 1, signal } = options;
    checkVersion("fromVersion", fromVersion, 1);
    const wakes = new Wakes(this.stores.events, this.clock, (name) => name === stream);
    const stop = (): void => wakes.ring();
    signal?.addEventListener("abort", stop);
    try {
      for (let next = fromVersion; !hasEnded(signal); await wakes.wait())
        for await (const event of this.read(stream, { fromVersion: next })) {
          if (hasEnded(signal)) return;
          next = event.version + 1;
          yield event;
        }
    } finally {
      signal?.removeEventListener("abort", stop);
      wakes.close();
    }
  }

  /**
   * Reads a whole stream and looks whether every event is what was stored, and in its place. `anchor`: a version and its hash
   * that were noted elsewhere; a stream that was cut or written anew as a whole does not have it.
   */
  async verify(stream: string, anchor?: Anchor): Promise<Verified> {
    checkChannel(stream);
    return await verifyStream(this.stores.events, stream, anchor);
  }
}

function hasEnded(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** Throws `INVALID_ARGUMENT` for what is no version. */
export function checkVersion(field: string, version: unknown, least: number): void {
  if (Number.isSafeInteger(version) && (version as number) >= least) return;
  const message = `${field} must be a whole number of ${least} or more, not ${showValue(version)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}

function wrongBatch(count: number): HeraldError {
  const message = `An append takes 1 to ${MAX_BATCH} events, not ${count}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "events" } });
}
