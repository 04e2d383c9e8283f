import type { Broker } from "../core/broker.ts";
import { RequestReply as Asking } from "../patterns/conversation.ts";
import { PubSub as Topics, type PubSubOptions } from "../patterns/pub-sub.ts";
import { Topology as Layout } from "../patterns/topology/topology.ts";
import type { WorkQueueOptions } from "../patterns/work-queue/options.ts";
import { WorkQueue as Queue } from "../patterns/work-queue/work-queue.ts";
import { linkTo } from "./link.ts";
import { MessagingService } from "./service.ts";

export type { RequestHandler, RequestRetryOptions } from "../patterns/conversation.ts";
export type { Listening, ListenOptions } from "../patterns/messaging.ts";
export type { StreamContext, StreamHandler, StreamOptions } from "../patterns/reply-stream.ts";
export type { Answer, QueryResult, RequestOptions } from "../patterns/request-reply.ts";
export type {
  DequeueOptions,
  ProcessOptions,
  QueueCounts,
  QueueMetrics,
  QueueState,
  QueueStatus,
  RateLimitOptions,
  ResultOptions,
  TakenTask,
  TaskContext,
  TaskHandler,
  TaskOptions,
} from "../patterns/work-queue/options.ts";
export { Outbox, type OutboxOptions, type OutboxStatement } from "../patterns/outbox/outbox.ts";
export type { OutboxRelay, RelayOptions } from "../patterns/outbox/relay.ts";
export type { SqlDatabase, SqlStatement } from "../patterns/outbox/sql.ts";
export type { Binding, ExchangeType } from "../patterns/topology/layout.ts";
export type { ConsumeOptions, ExchangeOptions, Routed } from "../patterns/topology/topology.ts";
export type { RepeatOptions, Repetition, Schedule } from "../patterns/work-queue/schedules.ts";
export type { PubSubOptions, WorkQueueOptions };

/**
 * Topics over a service, or over a bare broker: that gets a service of its own, and every subscription of it gets
 * everything, because nobody is named whose replicas could share it.
 */
export class PubSub extends Topics {
  /** Throws `INVALID_ARGUMENT`. */
  constructor(over: MessagingService | Broker, options: PubSubOptions = {}) {
    super(linkTo(over, "pub-sub"), over instanceof MessagingService ? options : { group: null, ...options });
  }
}

/** Questions and answers over a service, or over a bare broker, which gets a service of its own. */
export class RequestReply extends Asking {
  /** Throws `INVALID_ARGUMENT`. */
  constructor(over: MessagingService | Broker) {
    super(linkTo(over, "request-reply"));
  }
}

/** Queues, exchanges and bindings over a service, or over a bare broker, which gets a service of its own. */
export class Topology extends Layout {
  /** Throws `INVALID_ARGUMENT`. */
  constructor(over: MessagingService | Broker) {
    super(linkTo(over, "topology"));
  }
}

/**
 * A work queue over a service, or over a bare broker: that gets a service of its own, started when first needed and named
 * as the queue is.
 */
export class WorkQueue<T = unknown, R = unknown> extends Queue<T, R> {
  /** Throws `INVALID_ARGUMENT` or `INVALID_CHANNEL` naming the field. */
  constructor(over: MessagingService | Broker, options: WorkQueueOptions = {}) {
    super(linkTo(over, options.queue ?? "work-queue"), options);
  }
}
