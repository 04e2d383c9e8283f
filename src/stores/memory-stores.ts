import { createId } from "../core/ids.ts";
import { systemClock } from "../core/clock.ts";
import type {
  AppendResult,
  EventLog,
  KeptValue,
  KeyValueStore,
  LoggedEvent,
  StreamHead,
  Stores,
} from "../core/store.ts";

const EMPTY: StreamHead = { version: 0, hash: "" };

/** Event streams in this process: gone when it ends. */
class MemoryEventLog implements EventLog {
  readonly #streams = new Map<string, LoggedEvent[]>();
  readonly #listeners = new Set<(stream: string) => void>();

  async append(
    stream: string,
    version: number,
    events: readonly Pick<LoggedEvent, "body" | "hash">[],
  ): Promise<AppendResult> {
    const kept = this.#streams.get(stream) ?? [];
    if (kept.length !== version) return { isStored: false, head: kept.at(-1) ?? EMPTY };
    for (const { body, hash } of events) kept.push({ version: kept.length + 1, body, hash });
    if (kept.length > 0) this.#streams.set(stream, kept);
    for (const listener of this.#listeners) listener(stream);
    return { isStored: true, head: kept.at(-1) ?? EMPTY };
  }

  async read(stream: string, after: number, limit: number): Promise<readonly LoggedEvent[]> {
    return this.#streams.get(stream)?.slice(after, after + limit) ?? [];
  }

  async head(stream: string): Promise<StreamHead> {
    return this.#streams.get(stream)?.at(-1) ?? EMPTY;
  }

  async streams(): Promise<readonly string[]> {
    return [...this.#streams.keys()].toSorted();
  }

  watch(listener: (stream: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

class MemoryValues implements KeyValueStore {
  readonly #spaces = new Map<string, Map<string, KeptValue>>();

  async get(space: string, key: string): Promise<KeptValue | undefined> {
    return this.#spaces.get(space)?.get(key);
  }

  async put(space: string, key: string, value: string, ifToken?: string | null): Promise<string | undefined> {
    const values = this.#spaces.get(space) ?? new Map<string, KeptValue>();
    if (ifToken !== undefined && (values.get(key)?.token ?? null) !== ifToken) return undefined;
    const token = createId(systemClock.now());
    this.#spaces.set(space, values.set(key, { value, token }));
    return token;
  }

  async delete(space: string, key: string, ifToken?: string): Promise<boolean> {
    const values = this.#spaces.get(space);
    const known = values?.get(key);
    if (known === undefined || (ifToken !== undefined && known.token !== ifToken)) return false;
    values?.delete(key);
    if (values?.size === 0) this.#spaces.delete(space);
    return true;
  }

  async keys(space: string): Promise<readonly string[]> {
    return [...(this.#spaces.get(space)?.keys() ?? [])].toSorted();
  }
}

/** Event streams and values in this process, for tests and for what need not outlast it. */
export class MemoryStores implements Stores {
  readonly events: EventLog = new MemoryEventLog();
  readonly values: KeyValueStore = new MemoryValues();
}
