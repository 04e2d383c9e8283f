import { systemClock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { createId } from "../core/ids.ts";
import type {
  AppendResult,
  EventLog,
  KeptValue,
  KeyValueStore,
  LoggedEvent,
  StoresTransaction,
  StoreWrites,
  StreamHead,
  Stores,
} from "../core/store.ts";

type NewEvent = Pick<LoggedEvent, "body" | "hash">;

interface Pending {
  readonly space: string;
  readonly key: string;
  /** Null: it is forgotten. */
  readonly value: string | null;
  readonly token: string;
}

interface Seen {
  readonly space: string;
  readonly key: string;
  readonly token: string | null;
}

/** Throws when what is written would be in no transaction any more. */
type Check = () => void;

/** Values as they will be when the transaction is committed; what was looked at is remembered. */
class PendingValues implements KeyValueStore {
  readonly seen = new Map<string, Seen>();
  readonly pending = new Map<string, Pending>();
  readonly #inner: KeyValueStore;
  readonly #check: Check;

  constructor(inner: KeyValueStore, check: Check) {
    this.#inner = inner;
    this.#check = check;
  }

  async get(space: string, key: string): Promise<KeptValue | undefined> {
    const pending = this.pending.get(nameOf(space, key));
    if (pending !== undefined) return keptOf(pending);
    const kept = await this.#inner.get(space, key);
    // What another call of this transaction has written or seen meanwhile goes before.
    const written = this.pending.get(nameOf(space, key));
    if (written !== undefined) return keptOf(written);
    const name = nameOf(space, key);
    if (!this.seen.has(name)) this.seen.set(name, { space, key, token: kept?.token ?? null });
    return kept;
  }

  async put(space: string, key: string, value: string, ifToken?: string | null): Promise<string | undefined> {
    if (ifToken !== undefined) {
      const kept = await this.get(space, key);
      // Another call of this transaction may have written it meanwhile.
      const pending = this.pending.get(nameOf(space, key));
      const now = pending === undefined ? kept : keptOf(pending);
      if ((now?.token ?? null) !== ifToken) return undefined;
    }
    return this.#write(space, key, value);
  }

  async delete(space: string, key: string, ifToken?: string): Promise<boolean> {
    const kept = await this.get(space, key);
    if (kept === undefined || (ifToken !== undefined && kept.token !== ifToken)) return false;
    this.#write(space, key, null);
    return true;
  }

  async keys(space: string): Promise<readonly string[]> {
    const keys = new Set(await this.#inner.keys(space));
    for (const pending of this.pending.values()) {
      if (pending.space !== space) continue;
      if (pending.value === null) keys.delete(pending.key);
      else keys.add(pending.key);
    }
    return [...keys].toSorted();
  }

  #write(space: string, key: string, value: string | null): string {
    this.#check();
    const token = createId(systemClock.now());
    this.pending.set(nameOf(space, key), { space, key, value, token });
    return token;
  }
}

/** Streams as they will be when the transaction is committed. */
class PendingLog implements EventLog {
  readonly pending = new Map<string, { readonly version: number; readonly events: LoggedEvent[] }>();
  readonly #inner: EventLog;
  readonly #check: Check;

  constructor(inner: EventLog, check: Check) {
    this.#inner = inner;
    this.#check = check;
  }

  async append(stream: string, version: number, events: readonly NewEvent[]): Promise<AppendResult> {
    const stored = await this.#inner.head(stream);
    const head = this.#pendingHead(stream) ?? stored;
    if (head.version !== version) return { isStored: false, head };
    this.#check();
    const pending = this.pending.get(stream) ?? { version, events: [] };
    for (const { body, hash } of events)
      pending.events.push({ version: pending.version + pending.events.length + 1, body, hash });
    if (pending.events.length > 0) this.pending.set(stream, pending);
    return { isStored: true, head: this.#pendingHead(stream) ?? head };
  }

  async read(stream: string, after: number, limit: number): Promise<readonly LoggedEvent[]> {
    const stored = await this.#inner.read(stream, after, limit);
    if (stored.length > 0) return stored;
    const events = this.pending.get(stream)?.events ?? [];
    return events.filter(({ version }) => version > after).slice(0, limit);
  }

  async head(stream: string): Promise<StreamHead> {
    return this.#pendingHead(stream) ?? this.#inner.head(stream);
  }

  async streams(): Promise<readonly string[]> {
    return [...new Set([...(await this.#inner.streams()), ...this.pending.keys()])].toSorted();
  }

  watch(listener: (stream: string) => void): () => void {
    return this.#inner.watch(listener);
  }

  #pendingHead(stream: string): StreamHead | undefined {
    const last = this.pending.get(stream)?.events.at(-1);
    return last === undefined ? undefined : { version: last.version, hash: last.hash };
  }
}

/** What is read and written of stores until all of it is committed at once, or nothing. */
export class PendingStores implements StoresTransaction {
  readonly events: PendingLog;
  readonly values: PendingValues;
  #isEnded = false;

  constructor(inner: Stores) {
    const check = (): void => {
      if (this.#isEnded) throw ended();
    };
    this.events = new PendingLog(inner.events, check);
    this.values = new PendingValues(inner.values, check);
  }

  end(): StoreWrites {
    this.#isEnded = true;
    return {
      reads: [...this.values.seen.values()],
      values: [...this.values.pending.values()],
      appends: [...this.events.pending].map(([stream, { version, events }]) => ({ stream, version, events })),
    };
  }
}

function keptOf({ value, token }: Pending): KeptValue | undefined {
  return value === null ? undefined : { value, token };
}

function nameOf(space: string, key: string): string {
  return JSON.stringify([space, key]);
}

function ended(): HeraldError {
  const message =
    "The handler has ended, and its transaction with it: await everything that writes through context.tx.";
  return new HeraldError("CLOSED", message);
}
