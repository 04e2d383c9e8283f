/// <reference lib="esnext.disposable" preserve="true" />
import type { ChannelOptions } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { checkId, createId, derivedId } from "../../core/ids.ts";
import type { PublishOptions } from "../../core/message.ts";
import type { Handler } from "../../core/middleware.ts";
import { checkChannel } from "../../core/pattern.ts";
import { ready, release, type Link, type Listening, type ListenOptions } from "../messaging.ts";
import { ChangeLog } from "./change-log.ts";
import { checkKey, EXCHANGE_TYPES, type Binding, type ExchangeType, type Layout } from "./layout.ts";

/** Header of a message that came through an exchange: its name. */
const EXCHANGE_HEADER = "x-exchange";
/** Header of a message that came through an exchange: the routing key that it was published with. */
const ROUTING_KEY_HEADER = "x-routing-key";

/** Where a message went. */
export interface Routed {
  readonly id: string;
  /** None: nothing was bound for it, and nobody will get it. */
  readonly queues: readonly string[];
}

/** How an exchange is made. */
export interface ExchangeOptions {
  /** Default `topic`. */
  readonly type?: ExchangeType;
}

/** A queue is shared by its consumers. */
export type ConsumeOptions = Omit<ListenOptions, "group" | "from">;

/**
 * Queues, exchanges and bindings as AMQP 0-9-1 has them, on any broker that can look after its channels. A queue is a channel
 * with one group of the same name; what is bound is decided when a message is published, so that `unbind` takes nothing away
 * from a queue and a queue whose bindings overlap gets a message once. All processes of a broker share one layout.
 */
export class Topology implements AsyncDisposable {
  readonly #link: Link;
  readonly #log: ChangeLog;

  constructor(link: Link) {
    this.#link = link;
    this.#log = new ChangeLog(link.messaging);
  }

  /** Makes a queue, or changes how it is kept: what goes to it from now on waits for its consumers. */
  async createQueue(name: string, options?: ChannelOptions): Promise<void> {
    checkChannel(name);
    await ready(this.#link);
    await this.#log.admin.declare(name, options);
    await this.#link.messaging.broker.ensureGroup(name, name);
    await this.#log.write({ do: "createQueue", queue: name });
  }

  /** Forgets a queue with its bindings and all it holds. One that does not exist: no error. */
  async deleteQueue(name: string): Promise<void> {
    checkChannel(name);
    await ready(this.#link);
    await this.#log.write({ do: "deleteQueue", queue: name });
    await this.#log.admin.remove(name);
  }

  /** Makes an exchange. Rejects with `ALREADY_EXISTS` when there is one of another type. */
  async createExchange(name: string, options: ExchangeOptions = {}): Promise<void> {
    checkChannel(name);
    const { type = "topic" } = options;
    if (!EXCHANGE_TYPES.includes(type)) {
      const message = `An exchange is of type ${EXCHANGE_TYPES.join(", ")}, not ${showValue(type)}.`;
      throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "type" } });
    }
    await ready(this.#link);
    const layout = await this.#log.write({ do: "createExchange", exchange: name, type });
    const found = layout.typeOf(name);
    if (found === type) return;
    const message = `The exchange '${name}' is of type ${found}: delete it first, or take another name.`;
    throw new HeraldError("ALREADY_EXISTS", message, { details: { exchange: name, type: found } });
  }

  /** Forgets an exchange with its bindings; queues keep what they have. One that does not exist: no error. */
  async deleteExchange(name: string): Promise<void> {
    checkChannel(name);
    await ready(this.#link);
    await this.#log.write({ do: "deleteExchange", exchange: name });
  }

  /**
   * From now on the queue gets what is published to the exchange with a key that fits: on `topic` a pattern (`orders.*`,
   * `orders.#`), on `direct` the same text, on `fanout` any. Rejects with `NOT_FOUND` where one of them is missing.
   */
  async bind(queue: string, exchange: string, routingKey: string): Promise<void> {
    await ready(this.#link);
    const layout = await this.#log.read();
    if (!layout.queues.has(queue)) throw missing("queue", queue);
    checkKey(typeIn(layout, exchange), routingKey, true);
    await this.#log.write({ do: "bind", queue, exchange, key: routingKey });
  }

  /** The queue keeps what it has. What was not bound: no error. */
  async unbind(queue: string, exchange: string, routingKey: string): Promise<void> {
    await ready(this.#link);
    await this.#log.write({ do: "unbind", queue, exchange, key: routingKey });
  }

  /**
   * Resolves once every queue that is bound for it has the message. When it rejects, some of them may have it: publish again
   * with the same `id`. Rejects with `NOT_FOUND` where there is no such exchange.
   */
  async publish(
    exchange: string,
    routingKey: string,
    message: unknown,
    options: PublishOptions = {},
  ): Promise<Routed> {
    await ready(this.#link);
    const layout = await this.#log.read();
    checkKey(typeIn(layout, exchange), routingKey, false);
    const queues = layout.targets(exchange, routingKey);
    const { id = createId(), correlationId = id } = options;
    checkId(id);
    const headers = {
      ...options.headers,
      [EXCHANGE_HEADER]: exchange,
      [ROUTING_KEY_HEADER]: routingKey,
    };
    await Promise.all(
      queues.map((queue) =>
        this.#link.messaging.publish(queue, message, {
          ...options,
          // One message in several queues is several messages: each is known again by an id of its own.
          id: derivedId(`${id} ${queue}`, id),
          correlationId,
          headers,
        }),
      ),
    );
    return { id, queues };
  }

  /** Puts a message into one queue, past every exchange. Rejects with `NOT_FOUND`. */
  async sendToQueue(queue: string, message: unknown, options?: PublishOptions): Promise<string> {
    await this.#known(queue);
    return this.#link.messaging.publish(queue, message, options);
  }

  /** Handles what a queue has, shared with its other consumers in any process. Rejects with `NOT_FOUND`. */
  async consume(queue: string, handler: Handler, options: ConsumeOptions = {}): Promise<Listening> {
    await this.#known(queue);
    return this.#link.messaging.subscribe(queue, handler, { ...options, group: queue });
  }

  /** Names of the queues, sorted. */
  async listQueues(): Promise<string[]> {
    return [...(await this.#layout()).queues].toSorted();
  }

  /** Names of the exchanges, sorted. */
  async listExchanges(): Promise<string[]> {
    return (await this.#layout()).exchanges().toSorted();
  }

  /** Everything that is bound. */
  async listBindings(): Promise<Binding[]> {
    return (await this.#layout()).bindings();
  }

  /** Stops the service where it is this object's own. */
  close(): Promise<void> {
    return release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #layout(): Promise<Layout> {
    await ready(this.#link);
    return this.#log.read();
  }

  async #known(queue: string): Promise<void> {
    if (!(await this.#layout()).queues.has(queue)) throw missing("queue", queue);
  }
}

function typeIn(layout: Layout, exchange: string): ExchangeType {
  const type = layout.typeOf(exchange);
  if (type === undefined) throw missing("exchange", exchange);
  return type;
}

function missing(what: "queue" | "exchange", name: unknown): HeraldError {
  const call = what === "queue" ? "createQueue" : "createExchange";
  const message = `There is no ${what} ${showValue(name)}: make it with ${call}() first.`;
  return new HeraldError("NOT_FOUND", message, { details: { [what]: String(name) } });
}
