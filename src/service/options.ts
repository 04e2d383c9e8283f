/// <reference lib="esnext.disposable" preserve="true" />
import type { Budget } from "../core/budget.ts";
import type { Broker, StartFrom } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import type { Limits } from "../core/limits.ts";
import type { Logger } from "../core/logger.ts";
import type { Handler } from "../core/middleware.ts";
import type { Inbox, Stores, StoresSource } from "../core/store.ts";
import type { RetryOptions } from "../delivery/retry.ts";
import type { Filter } from "../routing/filter.ts";
import type { CircuitBreakerOptions, CircuitBreakers } from "./circuit-options.ts";
import type { CodecChoice, Compression } from "./encoding-options.ts";
import type { MessagingSpec } from "./manifest/model.ts";
import type { Routing } from "./routes/routing.ts";
import type { SchemaLike } from "./schema/model.ts";

/** What a handler's success means. The values are those of the manifest. */
export const DeliveryGuarantee = {
  /** Acknowledged before the handler runs; never repeated, lost when the handler fails. */
  AT_MOST_ONCE: "at-most-once",
  /** Acknowledged after the handler has ended; repeated when it failed. The default. */
  AT_LEAST_ONCE: "at-least-once",
  /** At-least-once, and effects made through the context take place once. */
  EXACTLY_ONCE: "exactly-once",
} as const;

/** One of the values of {@link DeliveryGuarantee}. */
export type DeliveryGuarantee = (typeof DeliveryGuarantee)[keyof typeof DeliveryGuarantee];

/** What becomes of messages that are given up on. */
export interface DeadLetterOptions {
  /** Default true. False: given-up messages are counted as discarded and gone. */
  readonly enabled?: boolean;
  /** Default `dlq.<agentId>`. */
  readonly channel?: string;
  /** Default 7. */
  readonly retentionDays?: number;
}

/** Where calls under `context.effect` are recorded, and how. */
export interface EffectOptions {
  /** Default: those of the broker; one that keeps none needs them: a file or Redis broker's, or MemoryStores. */
  readonly stores?: Stores | StoresSource;
  /** How long a result is kept at least: longer than a dead letter may wait for its redrive. Default 30. */
  readonly retentionDays?: number;
  /** A call whose process gives no sign of life for so long is taken over by another. Default 10,000. */
  readonly leaseMs?: number;
}

/** Options of {@link MessagingService}; only `agentId` is required. */
export interface MessagingServiceOptions {
  /** 1 to 100 characters of `A-Z a-z 0-9 _ : -`; replicas of one agent share it. */
  readonly agentId: string;
  readonly agentName?: string;
  /** `spec.messaging` of the manifest, as an object in any of its spellings. */
  readonly messaging?: MessagingSpec | Readonly<Record<string, unknown>>;
  /** Functions by the names that the manifest's `handler` and `commands[].name` use. */
  readonly handlers?: Readonly<Record<string, AnyHandler>>;
  /** A broker, or its URL. Default: a memory broker of its own. Services of one process may share a broker object. */
  readonly broker?: Broker | string;
  /** False: `stop()` leaves the broker open for others. Default true. */
  readonly closeBroker?: boolean;
  readonly defaultDeliveryGuarantee?: DeliveryGuarantee;
  readonly retry?: RetryOptions;
  readonly dlq?: DeadLetterOptions;
  /** Where exactly-once keeps what took effect. Default: in memory. */
  readonly inbox?: Inbox;
  /** Where calls under `context.effect` are recorded. Default: in the broker's stores. */
  readonly effects?: EffectOptions;
  /** Handlers of one subscription at the same time. Default 10. */
  readonly maxConcurrency?: number;
  /** Deliveries held by one subscription. Default 100. */
  readonly prefetch?: number;
  /** Default 300,000; Infinity switches the limit off. */
  readonly handlerTimeoutMs?: number;
  /** Default 30,000: a publish that the broker has not answered by then rejects with `TIMEOUT`. */
  readonly publishTimeoutMs?: number;
  /** Default 100,000. */
  readonly maxPendingPublishes?: number;
  /** How long `stop()` lets handlers finish. Default 10,000. */
  readonly gracePeriodMs?: number;
  /** Health is `unhealthy` when work waits and nothing was handled for this long. Default 90,000. */
  readonly stalledAfterMs?: number;
  /** False: publishing to a channel that the manifest does not declare warns instead of rejecting. Default true. */
  readonly strict?: boolean;
  readonly limits?: Partial<Limits>;
  /** Rules between agents, of `loadRouting` or `createRouting`: they hold for everything that this service publishes. */
  readonly routing?: Routing;
  /**
   * How payloads are written: `application/json` (default), `application/msgpack`, `text/plain`, any other for bytes. What is
   * read is read by its own content type.
   */
  readonly contentType?: string;
  /** How bodies are compressed. Default: not at all. What is read is restored by its own encoding. */
  readonly compression?: Compression;
  /**
   * The same by channel pattern, over what the manifest and the channels' definitions say: a content type, a codec such as
   * `registry.avro()`, or both and more. An exact name goes before patterns, the first that matches before the others.
   */
  readonly codecs?: Readonly<Record<string, CodecChoice>>;
  /** Circuit breakers: `true` for all of them with their defaults. Default: none. Needs the package `cockatiel`. */
  readonly circuitBreaker?: boolean | CircuitBreakers;
  /** True: every message carries its SHA-256 and that of its cause, for `conversations.verify()`. Default false: it costs time. */
  readonly provenance?: boolean;
  /** What each conversation may use that this agent begins. Default: no limit. */
  readonly budget?: Budget;
  /**
   * False: conversations that are stopped at the broker go on here. Default: they are looked for, once a second while messages
   * come, on a broker that keeps values.
   */
  readonly stoppable?: boolean;
  readonly clock?: Clock;
  /** Any logger of pino's shape. Default: silent. */
  readonly logger?: Logger;
}

/** A message handler or a command handler: what they are given differs, so their type says little. */
// oxlint-disable-next-line typescript/no-explicit-any -- a record of functions with different first parameters has no narrower type.
export type AnyHandler = (input: any, second?: any, third?: any) => unknown;

/** How to subscribe. All optional. */
export interface SubscribeOptions {
  /** Default: the agent's id, so that replicas share the messages. Null: every instance gets everything. */
  readonly group?: string | null;
  /** Where a new group starts. Default `new`. */
  readonly from?: StartFrom;
  readonly filter?: Filter;
  readonly schema?: SchemaLike;
  /** Handlers at the same time. Default: the manifest's, else the service's. */
  readonly maxConcurrency?: number;
  readonly prefetch?: number;
  /** `strict`: a retry holds back the later messages of its partition key. */
  readonly ordering?: "relaxed" | "strict";
  readonly guarantee?: DeliveryGuarantee;
  readonly retry?: RetryOptions;
  /** `manual`: the handler calls `context.ack()` or `context.nack()`. Default `auto`. */
  readonly ack?: "auto" | "manual";
  /** Expired messages go to the dead letters. Default false: counted and dropped. */
  readonly expiredToDlq?: boolean;
  readonly handlerTimeoutMs?: number;
  /** The circuit breaker before the handler. Default: the service's. */
  readonly circuitBreaker?: boolean | CircuitBreakerOptions;
  /** Unsubscribes when it fires. */
  readonly signal?: AbortSignal;
}

/** One standing subscription. */
export interface SubscriptionHandle extends AsyncDisposable {
  readonly id: string;
  /** The channel or pattern. */
  readonly channel: string;
  readonly group: string | null;
  /** Fires when it is unsubscribed or the service stops, before its handlers have ended. */
  readonly signal: AbortSignal;
  /** Starts no handler until `resume()`: running ones go on, what was not started goes back to the group. */
  pause(): void;
  /** Goes on after `pause()`. */
  resume(): void;
  /**
   * Lets running handlers finish, gives back what was not started. What is published afterwards waits for the group. Called
   * inside a handler of this subscription it resolves at once; the rest follows when the handler has ended. A handler that has
   * not ended after `gracePeriodMs` (default: the service's) is aborted and its message goes back; Infinity: never.
   */
  unsubscribe(options?: { readonly gracePeriodMs?: number }): Promise<void>;
}

/** What the service makes of a subscription that is to start. */
export interface Listening {
  readonly pattern: string;
  /** Middleware, handler and reply as one function. */
  readonly handler: Handler;
  readonly options: SubscribeOptions;
}
