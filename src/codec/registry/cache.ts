import type { Clock } from "../../core/clock.ts";
import { isHeraldError } from "../../core/errors.ts";

interface Entry<V> {
  value?: V;
  /** Set while somebody asks. */
  pending?: Promise<V>;
  /** That there is nothing, and until when it is believed, monotonic milliseconds. */
  nothing?: { readonly error: unknown; readonly until: number };
  /** Monotonic milliseconds from when on the value is asked for again; Infinity: it never changes. */
  staleAt: number;
}

/** How long what is kept holds. */
export interface CacheOptions {
  readonly clock: Clock;
  readonly maxEntries: number;
  /** How long a value is used before it is asked for again; Infinity for what never changes. */
  readonly freshMs: number;
  /** How long a `NOT_FOUND` is believed. */
  readonly nothingMs: number;
}

/**
 * Answers by key. One question at a time for a key, however many ask. A value that is no longer fresh is still given, while it
 * is asked for anew: a registry that is away stops nobody who has asked it before. Bounded: the longest unused goes first.
 */
export class Cache<V> {
  readonly #options: CacheOptions;
  readonly #ask: (key: string) => Promise<V>;
  readonly #entries = new Map<string, Entry<V>>();

  constructor(options: CacheOptions, ask: (key: string) => Promise<V>) {
    this.#options = options;
    this.#ask = ask;
  }

  /** The value, at once when it is known. Rejects as asking does; throws a `NOT_FOUND` that is still believed. */
  get(key: string): V | Promise<V> {
    const entry = this.#entry(key);
    const now = this.#options.clock.monotonic();
    if (entry.value !== undefined) {
      if (entry.staleAt <= now && entry.pending === undefined) this.#renew(key, entry);
      return entry.value;
    }
    if (entry.nothing !== undefined && entry.nothing.until > now) throw entry.nothing.error;
    return (entry.pending ??= this.#fetch(key, entry));
  }

  /** The next one asks anew. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  #renew(key: string, entry: Entry<V>): void {
    // Whatever comes of it, the next one asks again only when this time has passed once more.
    entry.staleAt = this.#options.clock.monotonic() + this.#options.freshMs;
    entry.pending = this.#fetch(key, entry);
    entry.pending.catch(() => undefined);
  }

  async #fetch(key: string, entry: Entry<V>): Promise<V> {
    const { clock, freshMs, nothingMs } = this.#options;
    try {
      const value = await this.#ask(key);
      entry.value = value;
      entry.staleAt = clock.monotonic() + freshMs;
      return value;
    } catch (error) {
      if (isHeraldError(error) && error.code === "NOT_FOUND")
        entry.nothing = { error, until: clock.monotonic() + nothingMs };
      throw error;
    } finally {
      delete entry.pending;
    }
  }

  #entry(key: string): Entry<V> {
    const known = this.#entries.get(key);
    const entry: Entry<V> = known ?? { staleAt: Infinity };
    if (known !== undefined) this.#entries.delete(key);
    else if (this.#entries.size >= this.#options.maxEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, entry);
    return entry;
  }
}
