import type { Channel } from "amqplib";
import { emit } from "../../core/events.ts";
import { createId } from "../../core/ids.ts";
import { SharedLook } from "../../core/shared-look.ts";
import { Timers } from "../shared/timers.ts";
import { closedError, publishError, rabbitError } from "./errors.ts";
import type { ExchangeHandler, ExchangeMessageInit } from "./exchange.ts";
import { ExchangeConsumer } from "./exchange-consumer.ts";
import { exchangeProperties } from "./exchange-message.ts";
import { Names } from "./names.ts";
import { rabbitSettings, type RabbitBrokerOptions, type RabbitSettings } from "./options.ts";
import { acquireLinks, type HeldLinks } from "./shared-links.ts";
import { Writer } from "./writer.ts";

export type { ExchangeMessage, ExchangeMessageInit } from "./exchange.ts";

/** A channel of the client package; its types call it `Channel`. */
export interface ClientChannel {
  close(): Promise<unknown>;
}

/** Options of a queue or an exchange, as the client package takes them. */
export type DeclareOptions = Readonly<Record<string, unknown>>;

/** A consumer; `close` ends it. */
export interface ExchangeSubscription {
  close(): Promise<void>;
}

type Step = (channel: Channel) => Promise<unknown>;

/** Everything behind a connection. */
interface Connected {
  readonly held: HeldLinks;
  readonly writer: Writer;
  readonly timers: Timers;
  /** Makes everything again that was asserted and bound; those that come back together share one go. */
  readonly restoring: SharedLook;
  readonly off: () => void;
}

/** The exchange that every virtual host has for topics. */
const TOPICS = "amq.topic";
const EXPIRES_MS = 60_000;

/**
 * Exchanges and queues by their own names, for programs that lay out RabbitMQ themselves: `RabbitMQBroker` of the messaging layer of
 * `@jadugar/core`. What was asserted, bound and consumed is so again after every lost connection. For channels, groups, retries and
 * dead letters use `RabbitBroker`. Rejections are HeraldErrors; `CLOSED` before `connect()` and after `disconnect()`.
 */
export class RabbitMQBroker {
  readonly #settings: RabbitSettings;
  readonly #steps = new Map<string, Step>();
  readonly #consumers = new Set<ExchangeConsumer>();
  #connected: Connected | undefined;
  #connecting: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: RabbitBrokerOptions = {}) {
    this.#settings = rabbitSettings(options);
  }

  /** True while both connections stand. */
  isConnected(): boolean {
    const links = this.#connected?.held.links;
    return links?.publishing.isUp === true && links.consuming.isUp;
  }

  /** Idempotent. */
  async connect(): Promise<void> {
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    await this.#connecting;
  }

  /** What is under way ends first, within `commandTimeoutMs`. Idempotent. */
  async disconnect(): Promise<void> {
    const connected = this.#connected;
    if (connected === undefined) return;
    this.#connected = undefined;
    const { held, writer, timers, off } = connected;
    off();
    const enough = timers.pause(this.#settings.commandTimeoutMs);
    const consumers = [...this.#consumers].map((consumer) => consumer.close());
    await Promise.race([Promise.all([...consumers, writer.close()]), enough.over]);
    timers.clear();
    this.#consumers.clear();
    this.#steps.clear();
    await held.release();
  }

  /** A channel of the client, of its own. It ends with its connection: nobody makes it again. */
  createChannel(): Promise<ClientChannel> {
    return this.#channel();
  }

  /** Idempotent. */
  async closeChannel(channel: ClientChannel): Promise<void> {
    try {
      await channel.close();
    } catch {
      // It is closed already, or its connection is.
    }
  }

  /** `type`: `direct`, `fanout`, `headers` or `topic`. */
  assertExchange(name: string, type: string, options: DeclareOptions = {}): Promise<void> {
    return this.#remember(`exchange ${name}`, (channel) => channel.assertExchange(name, type, options));
  }

  assertQueue(name: string, options: DeclareOptions = {}): Promise<void> {
    return this.#remember(`queue ${name}`, (channel) => channel.assertQueue(name, options));
  }

  /** {@link assertQueue}, in the words of the document's interface. */
  createQueue(name: string, options?: DeclareOptions): Promise<void> {
    return this.assertQueue(name, options);
  }

  /** A topic exchange. */
  createExchange(name: string, options?: DeclareOptions): Promise<void> {
    return this.assertExchange(name, "topic", options);
  }

  deleteQueue(name: string): Promise<void> {
    return this.#forget(`queue ${name}`, (channel) => channel.deleteQueue(name));
  }

  deleteExchange(name: string): Promise<void> {
    return this.#forget(`exchange ${name}`, (channel) => channel.deleteExchange(name));
  }

  bind(queue: string, exchange: string, routingKey: string): Promise<void> {
    const step: Step = (channel) => channel.bindQueue(queue, exchange, routingKey);
    return this.#remember(bindingOf(queue, exchange, routingKey), step);
  }

  unbind(queue: string, exchange: string, routingKey: string): Promise<void> {
    const step: Step = (channel) => channel.unbindQueue(queue, exchange, routingKey);
    return this.#forget(bindingOf(queue, exchange, routingKey), step);
  }

  /**
   * Resolves when the server has confirmed: the message is in every queue that is bound for it, which may be none. Rejects with
   * `NOT_FOUND` where there is no such exchange, `NOT_CONNECTED` or `OVERLOADED` when it was not sent, `PUBLISH_UNKNOWN` when it may
   * be stored or not.
   */
  async publish(exchange: string, routingKey: string, message: ExchangeMessageInit): Promise<void>;
  /** To the exchange that every virtual host has for topics: `amq.topic`. */
  async publish(topic: string, message: ExchangeMessageInit): Promise<void>;
  async publish(
    first: string,
    second: string | ExchangeMessageInit,
    third?: ExchangeMessageInit,
  ): Promise<void> {
    const [exchange, key, message] =
      typeof second === "string" ? [first, second, third as ExchangeMessageInit] : [TOPICS, first, second];
    const { writer } = this.#open;
    const body = Buffer.from(JSON.stringify(message.payload ?? null));
    await new Promise<void>((resolve, reject) => {
      const done = (error: unknown): void => (error === undefined ? resolve() : reject(publishError(error)));
      writer.send({ exchange, key, body, properties: exchangeProperties(message), done });
    });
  }

  /** What is published to a topic, or to a pattern of topics, from now on; in a queue that ends a minute after this process. */
  async subscribe(topic: string, handler: ExchangeHandler): Promise<ExchangeSubscription> {
    const queue = `${this.#settings.namespace}.${createId()}`;
    await this.assertQueue(queue, { durable: true, arguments: { "x-expires": EXPIRES_MS } });
    await this.bind(queue, TOPICS, topic);
    const consumer = await this.consume(queue, handler);
    return {
      close: async () => {
        await consumer.close();
        this.#steps.delete(bindingOf(queue, TOPICS, topic));
        await this.deleteQueue(queue);
      },
    };
  }

  /**
   * Hands out what a queue has, up to 100 at once, each acknowledged when the handler has resolved. One that fails is tried a second
   * time, and then rejected: the queue's dead-letter exchange gets it. Rejects with `NOT_FOUND` where there is no such queue.
   */
  async consume(queue: string, handler: ExchangeHandler): Promise<ExchangeSubscription> {
    const { held, restoring } = this.#open;
    const restore = (): Promise<void> => restoring.look();
    const consumer = new ExchangeConsumer(held.links.consuming, { queue, handler, restore });
    this.#consumers.add(consumer);
    try {
      await consumer.open();
    } catch (error) {
      this.#consumers.delete(consumer);
      throw rabbitError(error);
    }
    return {
      close: async () => {
        this.#consumers.delete(consumer);
        await consumer.close();
      },
    };
  }

  async #connect(): Promise<void> {
    if (this.#connected !== undefined) return;
    const settings = this.#settings;
    try {
      const held = await acquireLinks(settings);
      const { links } = held;
      const timers = new Timers(settings.clock);
      const names = new Names(settings.namespace);
      const writer = new Writer({ links, names, settings, clock: settings.clock, timers, isClosed: false });
      const restoring = new SharedLook(() => this.#restore());
      const off = links.consuming.onUp(() => void restoring.look());
      this.#connected = { held, writer, timers, restoring, off };
      await writer.open();
    } catch (error) {
      await this.disconnect();
      throw rabbitError(error);
    }
  }

  get #open(): Connected {
    if (this.#connected === undefined) throw closedError();
    return this.#connected;
  }

  async #channel(): Promise<Channel> {
    const { held } = this.#open;
    try {
      const channel = await held.links.consuming.model.createChannel();
      channel.on("error", () => {});
      return channel;
    } catch (error) {
      throw rabbitError(error);
    }
  }

  async #remember(name: string, step: Step): Promise<void> {
    await this.#carryOut(step);
    this.#steps.set(name, step);
  }

  async #forget(name: string, step: Step): Promise<void> {
    this.#steps.delete(name);
    await this.#carryOut(step);
  }

  /** Over a channel of its own: the server answers what it refuses with the end of the channel. */
  async #carryOut(step: Step): Promise<void> {
    const channel = await this.#channel();
    try {
      await step(channel);
    } catch (error) {
      throw rabbitError(error);
    } finally {
      await this.closeChannel(channel);
    }
  }

  /** One that cannot be made again must not keep the others away: it is told. */
  async #restore(): Promise<void> {
    for (const [name, step] of this.#steps) {
      try {
        await this.#carryOut(step);
      } catch (thrown) {
        emit("fault", () => ({ agent: "", error: rabbitError(thrown), where: `rabbitmq ${name}` }));
      }
    }
  }
}

function bindingOf(queue: string, exchange: string, routingKey: string): string {
  return `bind ${JSON.stringify([queue, exchange, routingKey])}`;
}
