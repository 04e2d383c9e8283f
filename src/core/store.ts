/** A value with the version a compare-and-set needs. */
export interface Versioned {
  readonly value: Uint8Array;
  readonly version: string;
}

/** Small state by key, with compare-and-set. A failed `ifVersion` is `CONFLICT`. */
export interface KeyValueStore {
  get(key: string): Promise<Versioned | null>;
  /** Resolves to the new version. `ifVersion: null` means: only if the key is absent. */
  put(
    key: string,
    value: Uint8Array,
    options?: { readonly ifVersion?: string | null; readonly ttlMs?: number },
  ): Promise<string>;
  delete(key: string): Promise<void>;
  /** Keys that start with `prefix`, sorted, after `after`. */
  list(prefix: string, limit: number, after?: string): Promise<readonly string[]>;
}

/** What an id is to an inbox when its delivery arrives. */
export type InboxState = "new" | "done" | "busy";

/**
 * The record that makes a repeated delivery take effect once. One per group of handlers; ids are kept for a horizon that
 * must be longer than the longest possible redelivery.
 */
export interface Inbox {
  /** `new`: it is ours to handle now. `done`: it took effect before. `busy`: another delivery of it runs. */
  claim(group: string, id: string): Promise<InboxState> | InboxState;
  /** Its effects are made: from now on it is `done`. */
  commit(group: string, id: string): Promise<void> | void;
  /** It failed: from now on it is `new` again. */
  abandon(group: string, id: string): Promise<void> | void;
}
