/// <reference lib="esnext.disposable" preserve="true" />
import type { Broker } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { HandlerContext } from "../core/middleware.ts";
import { ready, release, type Link, type Listening, type ListenOptions } from "../patterns/messaging.ts";
import type { MessageMiddleware } from "../routing/chain.ts";
import { RouteTable, type Route, type RouteOptions as Routed } from "../routing/route-table.ts";
import { linkTo } from "./link.ts";
import { MessagingService } from "./service.ts";

/** One route, and how its messages are subscribed. */
export interface RouteOptions<T = unknown> extends Routed<T> {
  /** As `MessagingService.subscribe` takes them: group, retry, concurrency and more. */
  readonly options?: ListenOptions;
}

/**
 * Handlers by channel pattern, over a service or over a bare broker. `start()` subscribes every route for itself: each has
 * its own retries and dead letters, and what its handler returns is the reply where one is wanted. `handle()` runs the
 * routes of a message that came some other way; no subscription is needed for it.
 */
export class MessageRouter implements AsyncDisposable {
  readonly #link: Link;
  readonly #defaults: ListenOptions;
  readonly #table = new RouteTable();
  readonly #options = new WeakMap<Route, ListenOptions>();
  readonly #standing = new Map<Route, Listening>();
  readonly #leaving = new Set<Promise<unknown>>();
  #turn: Promise<void> = Promise.resolve();

  /** Over a bare broker every router gets everything, because nobody is named whose replicas could share. Throws `INVALID_ARGUMENT`. */
  constructor(over: MessagingService | Broker) {
    this.#link = linkTo(over, "router");
    this.#defaults = over instanceof MessagingService ? {} : { group: null };
  }

  /** How many routes there are. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * Adds a route; several may cover one channel, and each gets its messages. One that is added after `start()` is subscribed
   * by the next `start()`. Throws `INVALID_CHANNEL`, or `INVALID_ARGUMENT` naming the field.
   */
  route<T = unknown>(options: RouteOptions<T>): this {
    const route = this.#table.add(options as Routed);
    this.#options.set(route, options.options ?? {});
    return this;
  }

  /** Adds a middleware around every route, the first added outermost. Throws `INVALID_ARGUMENT`. */
  use(middleware: MessageMiddleware): this {
    this.#table.use(middleware);
    return this;
  }

  /** Takes the routes of exactly this pattern out; their handlers are not started again. Not there: no error. */
  removeRoute(pattern: string): this {
    for (const route of this.#table.remove(pattern)) this.#leave(route);
    return this;
  }

  /** Takes all routes out. */
  clearRoutes(): this {
    for (const { pattern } of this.#table.list()) this.removeRoute(pattern);
    return this;
  }

  /**
   * Runs every route that covers the message's channel, in the order of addition; one that fails does not keep the others
   * from running. Without a `context` the handlers get one that belongs to no delivery: its `ack` and `nack` do nothing.
   * Rejects with `NOT_FOUND` when no route covers the channel, with what a route throws, or with an AggregateError when several do.
   */
  handle(message: Message, context: HandlerContext = byHand(message)): Promise<void> {
    return this.#table.handle(message, context);
  }

  /**
   * Subscribes the routes that are not subscribed yet. A service must run; one of the router's own is started. Rejects with
   * what subscribing rejects with; the routes before it stand.
   */
  start(): Promise<void> {
    const subscribed = this.#turn.then(() => this.#subscribe());
    this.#turn = subscribed.catch(() => undefined);
    return subscribed;
  }

  /** Unsubscribes all routes, which stay in the router; running handlers may finish. */
  async stop(): Promise<void> {
    await this.#turn;
    for (const route of this.#standing.keys()) this.#leave(route);
    await Promise.all(this.#leaving);
    await release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #subscribe(): Promise<void> {
    await ready(this.#link);
    for (const route of this.#table.list()) {
      if (this.#standing.has(route)) continue;
      const options = { ...this.#defaults, ...this.#options.get(route) };
      const listening = await this.#link.messaging.subscribe(
        route.pattern,
        (message, context) => this.#table.run(route, message, context),
        options,
      );
      this.#standing.set(route, listening);
      // It may have been removed while the broker was asked.
      if (!this.#table.has(route)) this.#leave(route);
    }
  }

  #leave(route: Route): void {
    const listening = this.#standing.get(route);
    if (listening === undefined) return;
    this.#standing.delete(route);
    const left = listening.unsubscribe().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
    // Whoever stops the router is told.
    left.catch(() => undefined);
  }
}

const NO_BYTES = new Uint8Array(0);

function ofNoBroker(what: string): HeraldError {
  return new HeraldError(
    "UNSUPPORTED",
    `context.${what} is of messages that a broker hands out: this one was given to handle() by hand. Publish it, or call what is to happen directly.`,
    { details: { ability: what } },
  );
}

/** The context of a message that no broker handed out. */
function byHand(message: Message): HandlerContext {
  const retryCount = message.metadata?.retryCount ?? 0;
  const nothing = (): void => undefined;
  return {
    attempt: retryCount + 1,
    redelivered: retryCount > 0,
    group: null,
    agentId: "",
    signal: new AbortController().signal,
    body: NO_BYTES,
    position: "",
    ack: nothing,
    nack: nothing,
    spend: () => Promise.reject(ofNoBroker("spend")),
    effect: () => Promise.reject(ofNoBroker("effect")),
    get tx(): never {
      throw ofNoBroker("tx");
    },
  };
}
