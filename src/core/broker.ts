import type { Delivery, Settlement } from "./delivery.ts";
import type { Envelope } from "./envelope.ts";
import type { HeraldError } from "./errors.ts";
import type { Inbox, InboxOptions, Stores, StoreWrites } from "./store.ts";

/** What survives: nothing is kept | the process's end is not survived | kill of a process | crash of the system | loss of power. */
export type Durability = "none" | "process" | "os" | "power";

/** What a broker can do natively, read from the technology when it is opened. */
export interface Capabilities {
  /** What an acknowledged publish survives. `none`: it dies with the process. */
  readonly durability: Durability;
  /** `key`: order per partition key is kept within a group, whatever its number of members. */
  readonly ordering: "none" | "key" | "channel";
  readonly groups: boolean;
  readonly broadcast: boolean;
  readonly wildcard: boolean;
  readonly priority: boolean;
  /** Honours `deliverAt`. */
  readonly delay: boolean;
  /** Honours `delayMs` of a nack. */
  readonly nackDelay: boolean;
  readonly replayByPosition: boolean;
  readonly replayByTime: boolean;
  readonly lag: boolean;
  /** A release does not raise `attempt`. */
  readonly exactAttempts: boolean;
  /** Deliveries have a lease and `extend` means something. */
  readonly lease: boolean;
  /** Recognises an id published again within a window. */
  readonly dedupe: boolean;
  /** Most envelopes of one `publish`. */
  readonly maxBatch: number;
  readonly maxBodyBytes: number;
}

/** The abilities that are on or off; the ability matrix has one row for each. */
export const ABILITIES = [
  "groups",
  "broadcast",
  "wildcard",
  "priority",
  "delay",
  "nackDelay",
  "replayByPosition",
  "replayByTime",
  "lag",
  "exactAttempts",
  "lease",
  "dedupe",
] as const satisfies readonly (keyof Capabilities)[];

/** One ability of {@link ABILITIES}. */
export type Ability = (typeof ABILITIES)[number];

/** Where a subscription starts when its group is new. */
export type StartFrom = "new" | "earliest" | { readonly position: string } | { readonly time: number };

/** What to subscribe to, and how. */
export interface SubscriptionSpec {
  /** `orders.created`, `orders.*` (one token), `orders.#` (zero or more). */
  readonly pattern: string;
  /** Competing consumers of this name share the messages. Null: broadcast, every subscription gets every message. */
  readonly group: string | null;
  /** Default `new`. A group that exists already goes on where it stopped. */
  readonly from?: StartFrom;
  /** Never more than this many unsettled, buffered ones included. */
  readonly prefetch: number;
  /**
   * `strict`: a message that waits for its retry holds back the later ones of its partition key, and priority is ignored.
   * `relaxed` (default): messages of one key never run at the same time, but a retry may be overtaken.
   */
  readonly ordering?: "relaxed" | "strict";
}

/** What became of one envelope of a publish. */
export type PublishResult =
  | {
      readonly ok: true;
      readonly position: string | null;
      /** True when the id was seen before within the window and nothing new was stored. */
      readonly deduplicated: boolean;
      /** How many groups and broadcast subscriptions it went to; null when the technology does not say. */
      readonly matched: number | null;
    }
  | { readonly ok: false; readonly error: HeraldError };

/** How to publish a batch. */
export interface BrokerPublishOptions {
  /** Recognise ids seen before. Needs the ability `dedupe`. */
  readonly dedupe?: boolean;
}

/** One group of one channel. */
export interface GroupReport {
  readonly group: string;
  /** Published and not yet acknowledged by the group; null when the technology does not say. */
  readonly lag: number | null;
  /** The part of the lag that is handed out. */
  readonly unsettled: number | null;
}

/** One channel as the broker sees it. */
export interface ChannelReport {
  readonly channel: string;
  /** How many envelopes the channel holds; null when the technology does not say. */
  readonly depth: number | null;
  readonly groups: readonly GroupReport[];
}

/** Health, depth and lag. */
export interface BrokerReport {
  readonly state: "up" | "degraded" | "down";
  readonly channels: readonly ChannelReport[];
  /** Envelopes given up by a policy the operator chose, since the broker was opened. */
  readonly dropped: number;
}

/** One envelope that a channel holds. */
export interface StoredEnvelope {
  readonly envelope: Envelope;
  readonly position: string;
}

/** How a channel is kept. */
export interface ChannelOptions {
  /** Keep each envelope at least this long, whether it was handled or not. */
  readonly retentionMs?: number;
}

/** Looking after channels: what dead letters, topology and operators need. */
export interface BrokerAdmin {
  /** Names of the channels that exist. */
  list(): Promise<readonly string[]>;
  /** Makes a channel before its first message, or changes how it is kept. */
  declare(channel: string, options?: ChannelOptions): Promise<void>;
  /** Forgets a channel with all it holds. Unknown: no error. */
  remove(channel: string): Promise<void>;
  /** Empties a channel; resolves to how many envelopes went. */
  purge(channel: string): Promise<number>;
  /** What a channel retains, oldest first, after a position, handled or not. */
  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]>;
  /** Takes single envelopes out of what a channel retains; resolves to how many were there. */
  erase(channel: string, positions: readonly string[]): Promise<number>;
  /**
   * Forgets that a group reads a pattern, with its place and everything that waits for it. Its subscriptions of that pattern
   * get nothing more, and what they still settle is ignored. Unknown: no error. Absent: groups cannot be forgotten.
   */
  dropGroup?(pattern: string, group: string): Promise<void>;
}

/**
 * One messaging technology. Every rejection is a HeraldError. Safe for concurrent calls.
 * A broker never retries, dead-letters, logs, counts or decodes.
 */
export interface Broker {
  readonly name: string;
  /** Connects. What it resolves to holds until close(). Twice is `ALREADY_EXISTS`. */
  open(signal?: AbortSignal): Promise<Capabilities>;
  /**
   * What holds for one channel, or for every channel that a pattern covers; between open() and close(). Absent: what open()
   * resolved to holds for all of them alike. It never says less than that.
   */
  capabilitiesOf?(pattern: string): Capabilities;
  /**
   * Hands envelopes over, in order. Results are positional; some may fail while others succeed. A channel that nobody
   * subscribed to is accepted. Rejects with `CLOSED` after close.
   */
  publish(envelopes: readonly Envelope[], options?: BrokerPublishOptions): Promise<readonly PublishResult[]>;
  /** Resolves once live: whatever is published after this is seen. */
  subscribe(spec: SubscriptionSpec): Promise<Subscription>;
  /** Health, depth and lag. Without `channels`: of all. Unknown numbers are null, unknown channels are absent. */
  inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport>;
  /** Idempotent. What is unsettled is left for redelivery. */
  close(): Promise<void>;
  readonly admin?: BrokerAdmin;
  /**
   * The record behind exactly-once, kept in the broker's own store: it survives what the messages survive, and every
   * process of the broker shares it. Absent: the technology has no store for it.
   */
  createInbox?(options: InboxOptions): Inbox;
  /**
   * Event streams and small values, kept as durably as messages are and shared by every process of the broker; usable while
   * it is open. Absent: the technology has no store for them.
   */
  createStores?(): Stores;
}

/** What takes place together with the acknowledgement of one delivery. */
export interface Commit {
  readonly delivery: Delivery;
  /** From now on `done` in the broker's own inbox. */
  readonly inbox: { readonly scope: string; readonly id: string };
  /** Published in order; what was published before under the same id is not published again. */
  readonly envelopes: readonly Envelope[];
  /** Written to the broker's own stores. */
  readonly writes: StoreWrites;
}

/** A standing interest in a pattern. It is asked; it never calls. */
export interface Subscription {
  /** At most `limit` deliveries, waiting at most `waitMs` for the first. Empty is not an error. */
  receive(limit: number, waitMs: number): Promise<readonly Delivery[]>;
  /** Ends or extends deliveries. Idempotent; a late settlement is ignored, not an error. */
  settle(settlements: readonly Settlement[]): Promise<void>;
  /**
   * Acknowledges one delivery, with everything that belongs to it: all of it or nothing, whatever dies. Rejects with `CONFLICT`
   * when the delivery is not this subscription's any more, or when what was read is not what it was. Absent: the
   * technology has no transaction over all of this.
   */
  commit?(commit: Commit): Promise<void>;
  /** True: to commit costs less than to publish, to record and to acknowledge apart. Whatever is handled exactly once is committed then. */
  readonly isCommitCheap?: boolean;
  /**
   * Gives back, uncounted, what was read ahead and not handed out; reads nothing more until it is asked again. Called before a
   * message is handled that may end the process. Absent: nothing is read ahead.
   */
  giveBackUnread?(): Promise<void>;
  /** Hands out nothing more and releases what was never handed out; a waiting receive resolves empty. settle() still works. */
  close(): Promise<void>;
}
