/// <reference lib="esnext.disposable" preserve="true" />
import { plainCopy } from "../codec/plain.ts";
import type { ChannelReport } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import { toHeraldError } from "../core/errors.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import type { Handler, Middleware } from "../core/middleware.ts";
import { agentChannel, BROADCAST_CHANNEL, checkAgentId, commandChannel } from "../core/names.ts";
import { checkPattern } from "../core/pattern.ts";
import type { Stores } from "../core/store.ts";
import type { DeadLetters } from "../delivery/dead-letters.ts";
import { Metrics, type MetricsSnapshot } from "../observability/metrics.ts";
import type { BrokerView } from "../patterns/messaging.ts";
import { answering, type Requester, type RequestOptions } from "../patterns/request-reply.ts";
import { compose } from "../routing/compose.ts";
import { createRequester, replyTo } from "./asking.ts";
import { publishEach, type BatchMessage, type BatchResult } from "./batch.ts";
import { definitionOf, nameOf, type ChannelRef } from "./channel-definition.ts";
import { bindManifest, declaredOptions } from "./bind.ts";
import { viewOf } from "./broker-view.ts";
import { checkFunction, checkOptions } from "./check-options.ts";
import { channelStats, lagOf, type ChannelStats, type ConsumerLag } from "./stats.ts";
import { Commands, type CommandHandler } from "./commands.ts";
import { consumeFrom, type Consumed } from "./consume.ts";
import { healthOf, type Health } from "./health.ts";
import type { Conversations } from "./conversations.ts";
import type { SubscribedChannel } from "./manifest/model.ts";
import type { MessagingServiceOptions, SubscribeOptions, SubscriptionHandle } from "./options.ts";
import { PublishChain, type PublishMiddleware } from "./publish-chain.ts";
import { createRuntime, notRunning, type Runtime } from "./runtime.ts";
import { settingsOf, type Settings } from "./settings.ts";
import { storesOfBroker } from "./stores.ts";
import { Subscriptions } from "./subscriptions.ts";

/** A subscription that is asked for, by the program or by the manifest. */
interface Wanted {
  readonly pattern: string;
  readonly handler: Handler;
  readonly options: SubscribeOptions;
  /** Its own entry in the manifest; without one, the first entry for the same channel. */
  readonly declared?: SubscribedChannel;
}

const NO_OPTIONS: PublishOptions = Object.freeze({});

/**
 * One agent's connection to the others: publishes, subscribes, commands, requests, dead letters and figures, over any
 * broker. Everything but `use`, `usePublish`, `getMetrics`, `getHealth` and `listSubscriptions` needs `start()` first and rejects with
 * `CLOSED` otherwise.
 */
export class MessagingService implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #middlewares: Middleware[] = [];
  readonly #publishes: PublishChain;
  #subscriptions = new Subscriptions();
  /** The reply channel's: while handlers are drained, what they asked for must still arrive. */
  #replies = new Subscriptions();
  readonly #commands: Commands;
  #runtime: Runtime | undefined;
  #requester: Requester | undefined;
  #view: BrokerView | undefined;
  #commanding: Promise<unknown> | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<number> | undefined;
  #metrics: Metrics;

  /** Throws `INVALID_ARGUMENT` or `INVALID_MANIFEST`, naming the field. */
  constructor(options: MessagingServiceOptions) {
    this.#settings = settingsOf(options);
    this.#metrics = new Metrics(this.#settings.clock);
    this.#publishes = new PublishChain(this.#settings.maxPendingPublishes);
    this.#commands = new Commands(this.#settings.agentId, this.#settings.messaging.commands);
  }

  get agentId(): string {
    return this.#settings.agentId;
  }

  /** The time it runs by. */
  get clock(): Clock {
    return this.#settings.clock;
  }

  get agentName(): string {
    return this.#settings.agentName;
  }

  /** True between start() and stop(). */
  get isRunning(): boolean {
    return this.#runtime !== undefined;
  }

  /** Dead letters of the whole broker. Throws `CLOSED` when the service is not running. */
  get deadLetters(): DeadLetters {
    return this.#running().deadLetters;
  }

  /**
   * Opens the broker, declares the dead-letter channel, subscribes what the manifest binds. Idempotent. Rejects with
   * `UNSUPPORTED` when the broker cannot do what the manifest asks, and with what opening rejects with.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start(this.#stopping).catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /**
   * Stops asking for messages, lets handlers finish for the grace period, waits for publishes, closes the broker if no
   * other service uses it. Idempotent. Resolves to how many handlers had to be aborted; their messages go back.
   */
  stop(options: { readonly gracePeriodMs?: number } = {}): Promise<number> {
    this.#stopping ??= this.#stop(options.gracePeriodMs ?? this.#settings.gracePeriodMs).finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop().then(() => undefined);
  }

  /**
   * Publishes; resolves with the message's id once the broker has it at its durability. Rejects with `SCHEMA_VIOLATION`,
   * `FORBIDDEN` (not declared), `INVALID_CHANNEL`, `INVALID_ARGUMENT`, `UNSERIALIZABLE`, `DEPTH_LIMIT`, `UNSAFE_PAYLOAD`,
   * `MESSAGE_TOO_LARGE`, `HEADERS_TOO_LARGE`, `HOP_LIMIT`, `OVERLOADED`, `TIMEOUT` (outcome unknown), `CLOSED`.
   */
  publish<T = unknown>(
    channel: ChannelRef<T>,
    payload: NoInfer<T>,
    options: PublishOptions = NO_OPTIONS,
  ): Promise<string> {
    try {
      checkOptions(options);
      return this.#running().publish(nameOf(channel), payload, options, definitionOf(channel));
    } catch (error) {
      return Promise.reject(toHeraldError(error));
    }
  }

  /** Publishes many; never rejects for one of them: each has its result in its place. */
  publishBatch(messages: readonly BatchMessage[]): Promise<readonly BatchResult[]> {
    return publishEach(messages, (channel, payload, options) => this.publish(channel, payload, options));
  }

  /** Publishes to one agent's own channel, `agent-<agentId>`. */
  async publishToAgent(
    agentId: string,
    payload: unknown,
    options: PublishOptions = NO_OPTIONS,
  ): Promise<string> {
    checkAgentId(agentId);
    return this.publish(agentChannel(agentId), payload, { to: agentId, ...options });
  }

  /** Publishes to every agent that listens on `hub-broadcast`. */
  broadcast(payload: unknown, options: PublishOptions = NO_OPTIONS): Promise<string> {
    return this.publish(BROADCAST_CHANNEL, payload, options);
  }

  /**
   * Handles what is published on a channel or pattern from now on. The handler's return means handled (and is the reply
   * where one is wanted), a throw means again by the retry policy. Rejects with `INVALID_CHANNEL`, `INVALID_ARGUMENT`,
   * `UNSAFE_SCHEMA`, `UNSUPPORTED`, `CANCELLED`.
   */
  async subscribe<T = unknown>(
    channel: ChannelRef<T>,
    handler: Handler<T>,
    options: SubscribeOptions = {},
  ): Promise<SubscriptionHandle> {
    const pattern = nameOf(channel);
    const schema = definitionOf(channel)?.schema;
    return this.#listen({
      pattern,
      handler: handler as Handler,
      options: { ...(schema === undefined ? {} : { schema }), ...options },
    });
  }

  /** By id, by what subscribe() resolved to, or every subscription of a channel. `NOT_FOUND` when there is none. */
  async unsubscribe(which: string | SubscriptionHandle): Promise<void> {
    this.#running();
    return this.#subscriptions.unsubscribe(which);
  }

  /** Messages one by one, for `for await`; each is settled with `ack()` or `nack()`. Ending the loop unsubscribes. */
  consume<T = unknown>(
    channel: ChannelRef<T>,
    options: SubscribeOptions = {},
  ): AsyncGenerator<Consumed<T>, void, undefined> {
    return consumeFrom<T>((handler) => this.subscribe(channel, handler, { ...options, ack: "manual" }));
  }

  /** Answers a command of this agent; the manifest's schemas check input and output. `ALREADY_EXISTS`, `INVALID_ARGUMENT`. */
  async registerCommandHandler<Input = unknown, Output = unknown>(
    name: string,
    handler: CommandHandler<Input, Output>,
  ): Promise<void> {
    this.#running();
    this.#commands.register(name, handler);
    // What the handler returns settles a command, whatever the manifest says of acknowledgment.
    this.#commanding ??= this.#listen({
      pattern: this.#commands.pattern,
      handler: this.#commands.handle,
      options: { ack: "auto", circuitBreaker: false },
    });
    try {
      await this.#commanding;
    } catch (error) {
      this.#commands.forget(name);
      this.#commanding = undefined;
      throw error;
    }
  }

  /**
   * Sends a command to an agent and resolves with its answer. Rejects with RequestTimeoutError, NoResponderError, or
   * CommandError whose `code` is the responder's (`NOT_FOUND` for a command it does not have).
   */
  async sendCommand<Output = unknown>(
    agentId: string,
    command: string,
    input: unknown,
    options: RequestOptions = {},
  ): Promise<Output> {
    checkAgentId(agentId);
    return this.request(commandChannel(agentId, command), input, {
      type: "command",
      to: agentId,
      ...options,
    });
  }

  /** Publishes and resolves with the payload of the first reply. Rejects as {@link sendCommand} does. */
  request<Output = unknown>(
    channel: string,
    payload: unknown,
    options: RequestOptions = {},
  ): Promise<Output> {
    try {
      checkOptions(options);
      const { maxDepth } = this.#running().settings.limits;
      const requester = (this.#requester ??= createRequester(() => this.#running(), this.#replies));
      const held = requester.isReady ? payload : plainCopy(payload, maxDepth);
      return requester.request(nameOf(channel), held, options) as Promise<Output>;
    } catch (error) {
      return Promise.reject(toHeraldError(error));
    }
  }

  /** Answers a message by hand, for handlers that do not return their reply. `INVALID_ARGUMENT` when it wants none. */
  async reply(
    message: Message,
    payload: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<string> {
    const { channel, options } = replyTo(message, headers);
    return this.publish(channel, payload, options);
  }

  /** Adds a middleware around every handler that is subscribed after this call, the first added outermost. Throws `INVALID_ARGUMENT`. */
  use(middleware: Middleware): this {
    checkFunction("middleware", middleware);
    this.#middlewares.push(middleware);
    return this;
  }

  /** Adds a middleware around everything that is published, requests and answers too, the first added outermost. Throws `INVALID_ARGUMENT`. */
  usePublish(middleware: PublishMiddleware): this {
    this.#publishes.use(middleware);
    return this;
  }

  /** Counters and latencies since the service was made. Synchronous and cheap. */
  getMetrics(): MetricsSnapshot {
    return this.#metrics.snapshot();
  }

  /** `unhealthy` when the broker is down, or when work waits and none is handled. */
  getHealth(): Promise<Health> {
    const [settings, runtime] = [this.#settings, this.#runtime];
    return healthOf({ settings, runtime, metrics: this.#metrics, subscriptions: this.#subscriptions });
  }

  /** What was published on and consumed from a channel by this service, and what waits there. */
  async getChannelStats(channel: string): Promise<ChannelStats> {
    const report = await this.#running().broker.inspect({ channels: [channel] });
    const subscriptions = this.#subscriptions.list();
    return channelStats(channel, { report, metrics: this.#metrics, subscriptions });
  }

  /** Lag of every group on every channel of the broker; of one group or channel when asked. */
  async getConsumerLag(
    filter: { readonly group?: string; readonly channel?: string } = {},
  ): Promise<readonly ConsumerLag[]> {
    const query = filter.channel === undefined ? {} : { channels: [filter.channel] };
    return lagOf(await this.#running().broker.inspect(query), filter.group);
  }

  /** The broker's name, what it can do, and its own calls that patterns are made of. Throws `CLOSED` when the service is not running. */
  get broker(): BrokerView {
    return (this.#view ??= viewOf(this.#running()));
  }

  /** Stops conversations, and tells what they used. Throws `CLOSED` when the service is not running. */
  get conversations(): Conversations {
    return this.#running().conversations;
  }

  /** Event streams and values of the broker, for `EventStore` and `Saga`. Throws `UNSUPPORTED` where it keeps none. */
  createStores(): Stores {
    return storesOfBroker(this.#running().broker);
  }

  /** Every channel that the broker knows, with depth and groups. */
  async listChannels(): Promise<readonly ChannelReport[]> {
    return (await this.#running().broker.inspect()).channels;
  }

  /** This service's own subscriptions. */
  listSubscriptions(): readonly SubscriptionHandle[] {
    return this.#subscriptions.list();
  }

  async #start(stopping: Promise<unknown> | undefined): Promise<void> {
    await stopping;
    const runtime = await createRuntime(this.#settings, { metrics: this.#metrics, chain: this.#publishes });
    this.#runtime = runtime;
    try {
      const { deadLetterChannel, deadLetterRetentionMs } = this.#settings;
      await runtime.codecs.open();
      if (deadLetterChannel !== undefined)
        await runtime.broker.admin?.declare(deadLetterChannel, { retentionMs: deadLetterRetentionMs });
      await bindManifest(this.#settings, {
        subscribe: (declared, handler) =>
          this.#listen({ pattern: declared.channel, handler, options: {}, declared }),
        registerCommandHandler: (name, handler) => this.registerCommandHandler(name, handler),
      });
    } catch (error) {
      await this.#shutDown(runtime, 0);
      throw error;
    }
  }

  async #stop(graceMs: number): Promise<number> {
    const starting = this.#starting;
    this.#starting = undefined;
    // A start that fails has cleaned up after itself.
    await starting?.catch(() => undefined);
    return this.#runtime === undefined ? 0 : this.#shutDown(this.#runtime, graceMs);
  }

  async #shutDown(runtime: Runtime, graceMs: number): Promise<number> {
    const abandoned = await this.#subscriptions.drain(graceMs);
    this.#requester?.close();
    await this.#replies.drain(0);
    await runtime.encoded();
    await runtime.publisher.close();
    this.#runtime = undefined;
    this.#requester = undefined;
    this.#view = undefined;
    this.#subscriptions = new Subscriptions();
    this.#replies = new Subscriptions();
    this.#commanding = undefined;
    this.#commands.forget();
    await runtime.lease.release({ keepOpen: !this.#settings.closeBroker });
    return abandoned;
  }

  /** What the manifest says of a subscription holds where the options say nothing. */
  #listen(wanted: Wanted): Promise<SubscriptionHandle> {
    const { pattern, handler, options } = wanted;
    const runtime = this.#running();
    checkPattern(pattern);
    checkFunction("handler", handler);
    const declared =
      wanted.declared ??
      this.#settings.messaging.subscribes.find((candidate) => candidate.channel === pattern);
    return this.#subscriptions.add(runtime, {
      pattern,
      // What a middleware makes of the result, or throws, is for whoever asked as well.
      handler: answering(compose(this.#middlewares, handler), (message, payload, headers) =>
        this.reply(message, payload, headers),
      ),
      options: { ...declaredOptions(declared), ...options },
    });
  }

  #running(): Runtime {
    if (this.#runtime === undefined) throw notRunning(this.agentId);
    return this.#runtime;
  }
}
