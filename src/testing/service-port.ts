import type { Broker, StartFrom } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import type { Failure } from "../core/delivery.ts";
import type { PublishOptions } from "../core/message.ts";
import type { Handler } from "../core/middleware.ts";
import type { Inbox } from "../core/store.ts";

/** What a handler's success means, as a subscription or a service names it. */
export type Guarantee = "at-most-once" | "at-least-once" | "exactly-once";

/** How failures are tried again. */
export interface PortRetryOptions {
  readonly maxAttempts?: number;
  readonly backoff?: {
    readonly strategy?: "exponential" | "linear" | "constant";
    readonly initialDelayMs?: number;
    readonly multiplier?: number;
    readonly maxDelayMs?: number;
    readonly jitter?: boolean | number;
  };
}

/** What the suite asks of a service's constructor. */
export interface ServicePortOptions {
  readonly agentId: string;
  readonly broker: Broker;
  readonly clock?: Clock;
  readonly defaultDeliveryGuarantee?: Guarantee;
  readonly retry?: PortRetryOptions;
  readonly handlerTimeoutMs?: number;
  readonly inbox?: Inbox;
}

/** What the suite asks of a subscription. */
export interface PortSubscribeOptions {
  readonly group?: string | null;
  readonly from?: StartFrom;
  readonly maxConcurrency?: number;
  readonly prefetch?: number;
  readonly ordering?: "relaxed" | "strict";
  readonly guarantee?: Guarantee;
  readonly retry?: PortRetryOptions;
  readonly ack?: "auto" | "manual";
  readonly expiredToDlq?: boolean;
  readonly signal?: AbortSignal;
}

/** A standing subscription of a service. */
export interface PortSubscription {
  readonly id: string;
  readonly channel: string;
  unsubscribe(): Promise<void>;
}

/** What the suite asks of a request. */
export interface PortRequestOptions extends PublishOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** One message of a batch. */
export interface PortBatchMessage {
  readonly channel: string;
  readonly payload: unknown;
  readonly options?: PublishOptions;
}

/** What became of one message of a batch, in its place. */
export type PortBatchResult =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly error: { readonly code: string } };

/** One message that was given up on. */
export interface PortDeadLetter {
  readonly id: string;
  /** The channel it was given up on. */
  readonly channel: string;
  readonly group: string | null;
  /** Error code: `HANDLER_FAILED`, `REJECTED`, `MALFORMED`, `EXPIRED`, … */
  readonly code: string;
  readonly attempts: number;
  /** How often it was sent back before. */
  readonly redriven: number;
  readonly failures: readonly Failure[];
  /** Epoch milliseconds. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** The bytes as they were published. */
  readonly body: Uint8Array;
  /** The author's headers as they were published, among those that sending back adds. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Which dead letters are meant; everything given must hold. */
export interface PortDeadLetterFilter {
  readonly id?: string;
  /** The channel they were given up on. */
  readonly channel?: string;
}

/** Looking after dead letters. */
export interface PortDeadLetters {
  list(
    filter?: PortDeadLetterFilter,
    options?: { readonly limit?: number },
  ): Promise<readonly PortDeadLetter[]>;
  get(id: string): Promise<PortDeadLetter | undefined>;
  /** Sends dead letters back to where they came from: an id, or a filter. Resolves to how many. */
  redrive(which: string | PortDeadLetterFilter): Promise<number>;
  /** Forgets dead letters: an id, or a filter. Resolves to how many. */
  purge(which: string | PortDeadLetterFilter): Promise<number>;
  stats(): Promise<{ readonly total: number }>;
}

/** Counts of one service since it started. */
export interface PortMetrics {
  readonly published: number;
  /** Handler starts. */
  readonly delivered: number;
  readonly handled: number;
  readonly failed: number;
  readonly deadLettered: number;
  readonly expired: number;
  readonly duplicates: number;
  readonly lateReplies: number;
}

/**
 * What the suite needs of the runtime above the brokers: a part of what `MessagingService` offers, so that this room
 * knows no other than the core. Anything of this shape can be held to the suite.
 */
export interface ServicePort {
  start(): Promise<unknown>;
  stop(options?: { readonly gracePeriodMs?: number }): Promise<unknown>;
  /** Resolves to the message's id once the broker has it. */
  publish(channel: string, payload: unknown, options?: PublishOptions): Promise<string>;
  publishBatch(messages: readonly PortBatchMessage[]): Promise<readonly PortBatchResult[]>;
  subscribe(channel: string, handler: Handler, options?: PortSubscribeOptions): Promise<PortSubscription>;
  registerCommandHandler(name: string, handler: (input: unknown) => unknown): Promise<unknown>;
  sendCommand(
    agentId: string,
    command: string,
    input: unknown,
    options?: PortRequestOptions,
  ): Promise<unknown>;
  /** Resolves to what the handler of `channel` returned. */
  request(channel: string, payload: unknown, options?: PortRequestOptions): Promise<unknown>;
  readonly deadLetters: PortDeadLetters;
  getMetrics(): PortMetrics;
  getHealth(): Promise<{ readonly status: string }>;
}
