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
  /** The broker has committed it together with its effects, and has recorded it: it runs no more. Absent: nothing to do then. */
  committed?(group: string, id: string): void;
  /** It failed: from now on it is `new` again. */
  abandon(group: string, id: string): Promise<void> | void;
}

/** How an inbox remembers. */
export interface InboxOptions {
  /** How long a handled id is remembered at least; longer than the longest possible redelivery. Default one hour. */
  readonly horizonMs?: number;
  /** Most ids remembered; one more is `OVERLOADED`, never a forgotten id within the horizon. Default 5,000,000. */
  readonly maxIds?: number;
}

/** What a stream of an event log ends with: the version of its last event and that event's hash; 0 and `""` while it has none. */
export interface StreamHead {
  readonly version: number;
  readonly hash: string;
}

/** One event as a log keeps it: opaque text, and the hash that its writer gave it. */
export interface LoggedEvent extends StreamHead {
  readonly body: string;
}

/** What an append came to: whether it took place, and what the stream ends with now. */
export interface AppendResult {
  readonly isStored: boolean;
  readonly head: StreamHead;
}

/**
 * Streams of events, each numbered from 1 without a gap and never changed. Names of streams are those of channels. Rejects
 * with a HeraldError. Safe for concurrent calls, also of several processes.
 */
export interface EventLog {
  /**
   * Adds events behind version `version`, all or none, durably as the store is. A stream that ends elsewhere is left as it is,
   * and the result says where it ends. A rejection with `PUBLISH_UNKNOWN` may have stored them.
   */
  append(
    stream: string,
    version: number,
    events: readonly Pick<LoggedEvent, "body" | "hash">[],
  ): Promise<AppendResult>;
  /** At most `limit` events behind version `after`, in order; fewer does not mean that there are no more. Empty: there are none. */
  read(stream: string, after: number, limit: number): Promise<readonly LoggedEvent[]>;
  head(stream: string): Promise<StreamHead>;
  /** Names of all streams that have events, sorted. */
  streams(): Promise<readonly string[]>;
  /**
   * Calls back when a stream may have grown, by whatever process. A hint: it may come for nothing, and be lost while a
   * connection is. Gives the function that ends it.
   */
  watch(listener: (stream: string) => void): () => void;
}

/** A value, and the token of the write that put it there: no two writes have the same. */
export interface KeptValue {
  readonly value: string;
  readonly token: string;
}

/** Small texts by name, in spaces. Rejects with a HeraldError. Safe for concurrent calls, also of several processes. */
export interface KeyValueStore {
  get(space: string, key: string): Promise<KeptValue | undefined>;
  /**
   * Keeps a value; resolves to its token. With `ifToken` only if the value is still that of this token (null: if there is
   * none); undefined: it was not, and nothing is changed.
   */
  put(space: string, key: string, value: string, ifToken?: string | null): Promise<string | undefined>;
  /** Forgets a value, with `ifToken` only that one; resolves to whether it did. */
  delete(space: string, key: string, ifToken?: string): Promise<boolean>;
  /** Names of all values of a space, sorted. */
  keys(space: string): Promise<readonly string[]>;
}

/** Where event streams and sagas are kept. */
export interface Stores {
  readonly events: EventLog;
  readonly values: KeyValueStore;
}

/** What is to be written to stores, all of it or nothing. */
export interface StoreWrites {
  /** Values that were looked at: each must still have this token; null: there must be none. */
  readonly reads: readonly { readonly space: string; readonly key: string; readonly token: string | null }[];
  /** Null: it is forgotten. */
  readonly values: readonly {
    readonly space: string;
    readonly key: string;
    readonly value: string | null;
    readonly token: string;
  }[];
  /** Events behind the version that the stream must have. */
  readonly appends: readonly {
    readonly stream: string;
    readonly version: number;
    readonly events: readonly Pick<LoggedEvent, "body" | "hash">[];
  }[];
}

/** Nothing is written to stores. */
export const NO_WRITES: StoreWrites = Object.freeze({ reads: [], values: [], appends: [] });

/** Stores whose writes are kept back until all of them are committed. */
export interface StoresTransaction extends Stores {
  /** What is to be committed. Nothing can be written through it from then on: that rejects with `CLOSED`. */
  end(): StoreWrites;
}

/** What has stores to give: a broker whose technology keeps them, or a service over one. */
export interface StoresSource {
  readonly name?: string;
  createStores?(): Stores;
}
