export type {
  Broker,
  BrokerAdmin,
  BrokerReport,
  Capabilities,
  ChannelReport,
  StartFrom,
} from "./core/broker.ts";
export {
  CommandError,
  HeraldError,
  isHeraldError,
  NoResponderError,
  RejectError,
  RequestTimeoutError,
  SnoozeError,
} from "./core/errors.ts";
export type { Message, Metadata, PublishOptions } from "./core/message.ts";
/** The message under the name that the OSSA messaging extension gives it. */
export type { Message as MessageEnvelope } from "./core/message.ts";
export type { Handler, HandlerContext, Middleware } from "./core/middleware.ts";
export type { DeadLetterEntry, DeadLetterFilter } from "./delivery/dead-letters.ts";
export type { RetryOptions } from "./delivery/retry.ts";
export { MemoryBroker } from "./brokers/memory/broker.ts";
export { MemoryInbox } from "./stores/memory-inbox.ts";
export type { MetricsSnapshot } from "./observability/metrics.ts";
export type { RequestOptions } from "./patterns/request-reply.ts";
export { defineChannel, type ChannelDefinition } from "./service/channel-definition.ts";
export { loadAgents } from "./service/load-agents.ts";
export {
  DeliveryGuarantee,
  type MessagingServiceOptions,
  type SubscribeOptions,
  type SubscriptionHandle,
} from "./service/options.ts";
export { MessagingService } from "./service/service.ts";
