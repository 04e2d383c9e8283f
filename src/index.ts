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
  ConcurrencyError,
  HeraldError,
  isHeraldError,
  NoResponderError,
  RejectError,
  RequestTimeoutError,
  SnoozeError,
} from "./core/errors.ts";
export type { CodecLimits, EncodedPayload, PayloadCodec, ReceivedBody } from "./codec/codec.ts";
export type { Budget } from "./core/budget.ts";
export type { Effect, EffectCall } from "./core/effect.ts";
export type { Message, Metadata, PublishOptions } from "./core/message.ts";
/** The message under the name that the OSSA messaging extension gives it. */
export type { Message as MessageEnvelope } from "./core/message.ts";
export type { Handler, HandlerContext, Middleware } from "./core/middleware.ts";
export type { DeadLetterEntry, DeadLetterFilter } from "./delivery/dead-letters.ts";
export type { RetryOptions } from "./delivery/retry.ts";
export { CoordinationMode, FailoverBroker } from "./brokers/failover/broker.ts";
export { FileBroker } from "./brokers/file/broker.ts";
export { KafkaBroker } from "./brokers/kafka/broker.ts";
export { MemoryBroker } from "./brokers/memory/broker.ts";
export { NatsBroker } from "./brokers/nats/broker.ts";
export { RabbitBroker } from "./brokers/rabbitmq/broker.ts";
export { RedisBroker } from "./brokers/redis/broker.ts";
export { MemoryInbox } from "./stores/memory-inbox.ts";
export { MemoryStores } from "./stores/memory-stores.ts";
export type { EventLog, KeyValueStore, LoggedEvent, Stores, StoresSource, StreamHead } from "./core/store.ts";
export type { BreakerFigures } from "./core/breaker.ts";
export type { MetricsSnapshot } from "./observability/metrics.ts";
export { EventStore, type EventStoreOptions } from "./patterns/events/event-store.ts";
export type { Appended } from "./patterns/events/appender.ts";
export type { NewEvent, StoredEvent } from "./patterns/events/event.ts";
export { Projection, type ProjectionOptions } from "./patterns/events/projection.ts";
export { StreamState, type Fold, type StateAt } from "./patterns/events/state.ts";
export type { Verified } from "./patterns/events/verify.ts";
export type { RequestOptions } from "./patterns/request-reply.ts";
export { commandStep, type CommandStepOptions } from "./patterns/saga/command-step.ts";
export type { SagaState, Step, StepContext, StepOptions } from "./patterns/saga/model.ts";
export { Saga, type SagaOptions } from "./patterns/saga/saga.ts";
export { SagaError } from "./patterns/saga/saga-error.ts";
export { ConfigError } from "./service/config/config-error.ts";
export { MessagingConfig, type ConfigOptions } from "./service/config/messaging-config.ts";
export { BaseAgent } from "./service/base-agent.ts";
export {
  ChannelNames,
  MessagePriority,
  MessageType,
  type BusHandler,
  type BusMessage,
} from "./service/bus-message.ts";
export type { MessageBusConfig, MessageBusOptions } from "./service/bus-options.ts";
export type { MessageBusStats } from "./service/bus-stats.ts";
export type { CircuitBreakerOptions, CircuitBreakers } from "./service/circuit-options.ts";
export { getBus, setBus } from "./service/current-bus.ts";
export { defineChannel, type ChannelDefinition } from "./service/channel-definition.ts";
export { loadAgents } from "./service/load-agents.ts";
export { MessageBus, type MessageBusEvents } from "./service/message-bus.ts";
export type {
  CodecChoice,
  Compression,
  CompressionOptions,
  EncodingOptions,
} from "./service/encoding-options.ts";
export {
  DeliveryGuarantee,
  type EffectOptions,
  type MessagingServiceOptions,
  type SubscribeOptions,
  type SubscriptionHandle,
} from "./service/options.ts";
export {
  SchemaRegistry,
  type AvroCodecOptions,
  type JsonCodecOptions,
  type SchemaRegistryOptions,
} from "./service/schema-registry.ts";
export { MessagingService } from "./service/service.ts";
