/// <reference lib="esnext.disposable" preserve="true" />
import type { Ability, BrokerAdmin, Capabilities, StartFrom } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import type { PublishOptions } from "../core/message.ts";
import type { Handler } from "../core/middleware.ts";
import type { RetryOptions } from "../delivery/retry.ts";
import type { RequestOptions } from "./request-reply.ts";

/** How a pattern subscribes: a part of what a service can be told. */
export interface ListenOptions {
  readonly group?: string | null;
  readonly from?: StartFrom;
  readonly maxConcurrency?: number;
  readonly prefetch?: number;
  readonly ordering?: "relaxed" | "strict";
  readonly guarantee?: "at-most-once" | "at-least-once" | "exactly-once";
  readonly retry?: RetryOptions;
  readonly ack?: "auto" | "manual";
  readonly expiredToDlq?: boolean;
  readonly handlerTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A standing subscription. */
export interface Listening extends AsyncDisposable {
  readonly channel: string;
  readonly group: string | null;
  /** Starts no handler until `resume()`. */
  pause(): void;
  resume(): void;
  unsubscribe(options?: { readonly gracePeriodMs?: number }): Promise<void>;
}

/** The broker below a service, as patterns see it. */
export interface BrokerView {
  readonly name: string;
  /** What it said it can do when it was opened. */
  readonly capabilities: Capabilities;
  /** Undefined where the technology cannot look after channels. */
  readonly admin: BrokerAdmin | undefined;
  /** Can it do this on a channel? `ordering`: order per partition key. */
  can(ability: Ability | "ordering", channel: string): boolean;
  /** Throws `UNSUPPORTED` naming the ability, the channel, what wants it and the wrapper that would help. */
  require(ability: Ability | "ordering", channel: string, because: string): void;
  /** Makes a group known without reading: what is published from then on waits for it. */
  ensureGroup(channel: string, group: string): Promise<void>;
  /**
   * True for the first of all processes that publishes an empty message of this id on the channel. Needs `dedupe`, else
   * `UNSUPPORTED`; an id is known for as long as the broker remembers it.
   */
  isFirst(channel: string, id: string, ttlSeconds: number): Promise<boolean>;
  /** Publishes an empty message with these headers, past everything that is between a program and its broker. */
  note(channel: string, partitionKey: string, headers: Readonly<Record<string, string>>): Promise<void>;
}

/** One group's backlog on one channel; null: the technology does not say. */
export interface Backlog {
  readonly channel: string;
  readonly group: string;
  /** Published and not yet acknowledged. */
  readonly lag: number | null;
  /** The part of the lag that is handed out. */
  readonly unsettled: number | null;
}

/** What a pattern reads of a group's counters. */
export interface GroupFigures {
  readonly channel: string;
  readonly group: string;
  readonly delivered: number;
  readonly handled: number;
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly expired: number;
  readonly duplicates: number;
  readonly latency: {
    readonly avgLatencyMs: number;
    readonly p50LatencyMs: number;
    readonly p99LatencyMs: number;
  };
}

/**
 * What patterns need of the layer below: a part of what `MessagingService` offers, so that this room knows nothing of the
 * rooms above it.
 */
export interface Messaging {
  readonly agentId: string;
  readonly clock: Clock;
  readonly broker: BrokerView;
  start(): Promise<unknown>;
  stop(): Promise<unknown>;
  publish(channel: string, payload: unknown, options?: PublishOptions): Promise<string>;
  subscribe(channel: string, handler: Handler, options?: ListenOptions): Promise<Listening>;
  request(channel: string, payload: unknown, options?: RequestOptions): Promise<unknown>;
  getConsumerLag(filter: { readonly channel: string; readonly group: string }): Promise<readonly Backlog[]>;
  getMetrics(): {
    readonly channels: Readonly<
      Record<string, { readonly published: number; readonly messagesPerSecond: number }>
    >;
    readonly groups: readonly GroupFigures[];
  };
}

/** A pattern's hold on the layer below. One that is the pattern's own is started when first needed and stopped with it. */
export interface Link {
  readonly messaging: Messaging;
  readonly isOwn: boolean;
}

/** What looks after the channels of a broker. Throws `UNSUPPORTED` where nothing does; `instead` ends the sentence. */
export function adminOf({ admin, name }: BrokerView, instead: string): BrokerAdmin {
  if (admin !== undefined) return admin;
  const message = `The broker '${name}' cannot look after its channels: ${instead}.`;
  throw new HeraldError("UNSUPPORTED", message, { details: { broker: name, ability: "admin" } });
}

/** Resolves once the layer below runs. One that belongs to the program is started by the program. */
export function ready({ messaging, isOwn }: Link): Promise<unknown> {
  return isOwn ? messaging.start() : Promise.resolve();
}

/** Ends what is the pattern's own. */
export async function release({ messaging, isOwn }: Link): Promise<void> {
  if (isOwn) await messaging.stop();
}
