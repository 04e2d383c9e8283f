import type { Failure } from "../../core/delivery.ts";
import type { StoreWrites } from "../../core/store.ts";

/** Numbers of one message in a {@link PublishBlock}: channel, priority, deliverAt (NaN: none), bytes of the body. */
export const PUBLISH_STRIDE = 4;
/** Numbers of one delivery in a {@link DeliveryBlock}: channel, position, ref, attempt, when stored, bytes of the body or {@link ECHO}. */
export const DELIVERY_STRIDE = 6;
/** Numbers of one settlement: kind, ref, position, milliseconds. */
export const SETTLE_STRIDE = 4;
/** Numbers of one delivery of a {@link CommitCommand}: ref, position, how many messages. */
export const COMMIT_STRIDE = 3;

/** In place of the bytes of a body: the other side has published this message itself, and has it still. */
export const ECHO = -1;
/** How far back in the log a message may be, and how large its body, so that its publisher surely has it still. */
export const ECHO_SPAN = 6144;
export const ECHO_BYTES = 4096;

/** Kinds of settlements, as numbers. */
export const KIND = { ack: 0, nack: 1, release: 2, extend: 3 } as const;

/** Messages to be stored, as columns: one message to the thread for hundreds of envelopes. */
export interface PublishBlock {
  readonly channels: readonly string[];
  /** CloudEvents attributes as JSON, a line each: one string goes over faster than hundreds. */
  readonly heads: string;
  readonly headers: readonly (string | null | undefined)[] | null;
  readonly keys: readonly (string | null | undefined)[] | null;
  /** Ids to be recognised; null: of none. */
  readonly ids: readonly (string | null | undefined)[] | null;
  readonly numbers: Float64Array;
  readonly bodies: Uint8Array<ArrayBuffer>;
}

/** What became of a block whose messages were all stored, one after the other, and went to as many groups. */
export interface StoredRun {
  readonly first: number;
  readonly matched: number;
}

/** What became of each message of a block: its position (0: stored nowhere), how many groups it went to, whether it was known. */
export interface PublishAnswer {
  readonly positions: Float64Array;
  readonly matched: Int32Array;
  readonly known: Uint8Array;
  readonly errors: readonly (ErrorShape | undefined)[] | null;
}

/** Deliveries, as columns: `counts[i]` of them in a row for the subscription `members[i]`. */
export interface DeliveryBlock {
  readonly members: readonly number[];
  readonly counts: readonly number[];
  readonly channels: readonly string[];
  /** As in a {@link PublishBlock}. */
  readonly heads: string;
  readonly headers: readonly (string | null | undefined)[] | null;
  readonly failures: readonly (string | null | undefined)[] | null;
  readonly numbers: Float64Array;
  readonly bodies: Uint8Array<ArrayBuffer>;
}

/** Settlements of one subscription. */
export interface SettleBlock {
  readonly member: number;
  readonly numbers: Float64Array;
  readonly failures: readonly (Failure | undefined)[] | null;
}

/** A HeraldError on its way between threads. */
export interface ErrorShape {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Where a new group starts, checked. */
export type Start = "new" | "earliest" | { readonly position: number } | { readonly time: number };

/** Calls that are rare enough to be an object each. Every one is answered under its number. */
export type Command =
  | {
      readonly op: "subscribe";
      readonly member: number;
      readonly client: number;
      readonly pattern: string;
      readonly group: string | null;
      readonly strict: boolean;
      readonly from: Start;
    }
  | { readonly op: "unsubscribe"; readonly member: number }
  /** Ends the wait of a subscription: what was handed out before has been sent when this is answered. */
  | { readonly op: "endWait"; readonly member: number }
  /** A broker object closes. */
  | { readonly op: "leave"; readonly client: number }
  | { readonly op: "inspect"; readonly channels: readonly string[] | null }
  | { readonly op: "list" }
  | { readonly op: "declare"; readonly channel: string; readonly retentionMs: number | null }
  | { readonly op: "purge"; readonly channel: string; readonly isRemoved: boolean }
  | { readonly op: "browse"; readonly channel: string; readonly after: number; readonly limit: number }
  | { readonly op: "erase"; readonly channel: string; readonly positions: readonly number[] }
  | { readonly op: "dropGroup"; readonly pattern: string; readonly group: string }
  | {
      readonly op: "inboxClaim";
      readonly scope: string;
      readonly ids: readonly string[];
      readonly horizonMs: number;
      readonly maxIds: number;
    }
  | { readonly op: "inboxCommit"; readonly scope: string; readonly ids: readonly string[] }
  | { readonly op: "inboxAbandon"; readonly scope: string; readonly id: string }
  | CommitCommand
  | StreamCommand
  | ValueCommand;

/** Deliveries of one subscription are handled, and of each everything that belongs to it takes place, or nothing. */
export interface CommitCommand {
  readonly op: "commit";
  readonly member: number;
  readonly scope: string;
  readonly ids: readonly string[];
  /** {@link COMMIT_STRIDE} of each. */
  readonly numbers: Float64Array;
  /** Those of the first, then those of the second, and so on. */
  readonly messages: PublishBlock | null;
  /** Null: nothing is written to stores by any of them. */
  readonly writes: readonly StoreWrites[] | null;
}

/** Calls of event streams. */
export type StreamCommand =
  | {
      readonly op: "streamAppend";
      readonly stream: string;
      readonly version: number;
      readonly bodies: readonly string[];
      readonly hashes: readonly string[];
    }
  | { readonly op: "streamRead"; readonly stream: string; readonly after: number; readonly limit: number }
  | { readonly op: "streamHead"; readonly stream: string }
  | { readonly op: "streamNames" }
  /** From now on it is told which streams have grown, or not any more. */
  | { readonly op: "streamWatch"; readonly isOn: boolean };

/** Calls of small values. */
export type ValueCommand =
  | { readonly op: "valueGet"; readonly space: string; readonly key: string }
  | {
      readonly op: "valuePut";
      readonly space: string;
      readonly key: string;
      readonly value: string;
      readonly token: string;
      readonly ifToken: string | null | undefined;
    }
  | {
      readonly op: "valueDelete";
      readonly space: string;
      readonly key: string;
      readonly ifToken: string | undefined;
    }
  | { readonly op: "valueKeys"; readonly space: string };

/** One message to the thread. Messages are answered in their order. */
export interface Request {
  readonly commands: readonly { readonly call: number; readonly command: Command }[];
  readonly publishes: readonly PublishBlock[];
  readonly settles: readonly SettleBlock[];
  /** Triples: subscription, how many it wants, 1 when it does not wait. */
  readonly wants: readonly number[];
}

/** Something that no call asked about. */
export interface Notice {
  readonly event: "dataLost" | "fault";
  readonly channel: string | null;
  readonly count: number | null;
  readonly error: ErrorShape;
}

/** What came of one command. */
export interface Result {
  readonly call: number;
  readonly value?: unknown;
  readonly error?: ErrorShape;
}

/** One message from the thread. */
export interface Answer {
  /** How many requests this answers; 0: nobody asked, something has come. */
  readonly answered: number;
  readonly results: readonly Result[];
  readonly publishes: readonly (PublishAnswer | StoredRun)[];
  readonly deliveries: DeliveryBlock | undefined;
  /** Subscriptions that did not want to wait and got nothing. */
  readonly nothing: readonly number[];
  readonly notices: readonly Notice[];
  /** Event streams that have got events, where anybody watches. */
  readonly grown: readonly string[];
  /** Why nothing of the requests took place. */
  readonly error: ErrorShape | undefined;
}

/** What the thread is started with. */
export interface ThreadOptions {
  readonly directory: string;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly retainMs: number;
  readonly retainBytes: number;
  readonly deleteProcessed: boolean;
  readonly dedupeWindowMs: number;
  readonly maxChannels: number;
}
