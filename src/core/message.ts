import type { Budget } from "./budget.ts";
import type { Priority } from "./priority.ts";

/** Who caused a message: an agent, something outside, or Herald itself. */
export type Origin = "internal" | "external" | "system";

/** Everything about a message that is not one of its six keys. Absent fields are absent, not null. */
export interface Metadata {
  /** `event`, `command`, `query`, `reply`, or the author's own word. */
  readonly type?: string;
  /** The agent it is meant for. */
  readonly to?: string;
  /** Same conversation. */
  readonly correlationId?: string;
  /** The id of the message whose handling caused this one. */
  readonly causationId?: string;
  /** Where a reply goes. */
  readonly replyTo?: string;
  /** W3C Trace Context: `00-<trace id>-<span id>-<flags>`. */
  readonly traceparent?: string;
  /** The trace id of `traceparent`, 32 hexadecimal characters. */
  readonly traceId?: string;
  /** The span id of `traceparent`, 16 hexadecimal characters. */
  readonly spanId?: string;
  /** 0 to 99, lower first. */
  readonly priority: number;
  /** Seconds after `timestamp` past which no handler starts. */
  readonly ttlSeconds?: number;
  /** Attempt minus one. */
  readonly retryCount: number;
  /** Media type of the body; `application/json` unless said otherwise. */
  readonly contentType: string;
  /** How the body in `context.body` is compressed; absent: not at all. The payload never is. */
  readonly contentEncoding?: string;
  /** Messages of one key keep their order within a channel. */
  readonly partitionKey?: string;
  readonly origin?: Origin;
  /** How many messages led to this one. */
  readonly hops?: number;
  /** A proof of where the message comes from, opaque here. */
  readonly provenance?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a program publishes and a handler gets: the six keys of the OSSA envelope and nothing else at the top level. */
export interface Message<T = unknown> {
  /** 1 to 128 printable characters; UUID version 7 unless the publisher chose one. Also the deduplication key. */
  readonly id: string;
  /** ISO 8601 UTC with milliseconds. */
  readonly timestamp: string;
  /** The agent that published it. */
  readonly source: string;
  readonly channel: string;
  readonly payload: T;
  readonly metadata: Metadata;
}

/** What a publisher may say beside channel and payload. All optional. */
export interface PublishOptions {
  /** Chosen by the caller so that publishing again after an unknown outcome is recognised. */
  readonly id?: string;
  readonly type?: string;
  readonly to?: string;
  /** Default: the conversation of the message being handled, else the new message's own id. */
  readonly correlationId?: string;
  readonly causationId?: string;
  readonly replyTo?: string;
  readonly traceparent?: string;
  /** Default `normal` (50). */
  readonly priority?: Priority;
  /** Not started after this many seconds. */
  readonly ttlSeconds?: number;
  /** Not handed out before this many milliseconds have passed. Needs the broker ability `delay`. */
  readonly delayMs?: number;
  /**
   * Deliveries including the first, for this message, whatever the subscription says: 1 to 1000. A subscription that tries
   * nothing again is not overruled. It travels as the header `x-max-attempts`.
   */
  readonly maxAttempts?: number;
  readonly partitionKey?: string;
  readonly origin?: Origin;
  readonly provenance?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What the conversation may use from here on. Within one that has a budget it can only become tighter. */
  readonly budget?: Budget;
  /** Drop this publish if its id was seen within the broker's window. Default: on under exactly-once. */
  readonly dedupe?: boolean;
}
