import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Handler, HandlerContext } from "../core/middleware.ts";
import { checkPattern } from "../core/pattern.ts";
import { PatternTrie } from "../core/pattern-trie.ts";
import { MiddlewareChain, type MessageMiddleware } from "./chain.ts";

/** Which messages a handler gets, and what stands around it. */
export interface RouteOptions<T = unknown> {
  /** A channel name or pattern: `user.created`, `user.*`, `user.#`. */
  readonly pattern: string;
  readonly handler: Handler<T>;
  /** Inside the router's own, the first outermost. */
  readonly middleware?: readonly MessageMiddleware[];
}

/** One route of a table. */
export class Route {
  readonly pattern: string;
  /** Place in the order of addition. */
  readonly order: number;
  readonly #handler: Handler;
  readonly #own: MiddlewareChain;
  readonly #shared: MiddlewareChain;
  #run: { readonly version: number; readonly handler: Handler } | undefined;

  constructor(options: RouteOptions, shared: MiddlewareChain, order: number) {
    const { pattern, handler, middleware = [] } = options;
    if (typeof handler !== "function") {
      const message = `The handler of the route '${pattern}' is not a function; give (message, context) => …`;
      throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "handler" } });
    }
    this.pattern = pattern;
    this.order = order;
    this.#handler = handler;
    this.#own = new MiddlewareChain(middleware);
    this.#shared = shared;
  }

  /** Runs the shared middlewares as they are at `version`, its own, and its handler; gives the handler's result. */
  run(message: Message, context: HandlerContext, version: number): unknown {
    if (this.#run?.version !== version)
      this.#run = { version, handler: this.#shared.around(this.#own.around(this.#handler)) };
    return this.#run.handler(message, context);
  }
}

/** Routes by channel pattern, found by the tokens of a channel and not by trying them all. */
export class RouteTable {
  readonly #trie = new PatternTrie<Route>();
  readonly #byPattern = new Map<string, Set<Route>>();
  readonly #shared = new MiddlewareChain();
  #added = 0;
  #version = 0;

  /** How many routes there are. */
  get size(): number {
    return this.#trie.size;
  }

  /** Throws `INVALID_CHANNEL`, or `INVALID_ARGUMENT` naming the field. */
  add(options: RouteOptions): Route {
    const { pattern } = options;
    checkPattern(pattern);
    const route = new Route(options, this.#shared, this.#added++);
    const same = this.#byPattern.get(pattern);
    if (same === undefined) this.#byPattern.set(pattern, new Set([route]));
    else same.add(route);
    this.#trie.add(pattern, route);
    return route;
  }

  /** Adds a middleware around every route, those included that are there already. Throws `INVALID_ARGUMENT`. */
  use(middleware: MessageMiddleware): void {
    this.#shared.use(middleware);
    this.#version++;
  }

  has(route: Route): boolean {
    return this.#byPattern.get(route.pattern)?.has(route) === true;
  }

  /** All routes, in the order in which their patterns came. */
  list(): Route[] {
    return [...this.#byPattern.values()].flatMap((routes) => [...routes]);
  }

  /** Takes the routes of exactly this pattern out and gives them. */
  remove(pattern: string): Route[] {
    const routes = [...(this.#byPattern.get(pattern) ?? [])];
    this.#byPattern.delete(pattern);
    for (const route of routes) this.#trie.remove(pattern, route);
    return routes;
  }

  /** The routes whose pattern covers a channel, in the order in which they were added. */
  match(channel: string): Route[] {
    const found = this.#trie.match(channel);
    return found.length > 1 ? found.toSorted((a, b) => a.order - b.order) : found;
  }

  /** Runs one route. */
  run(route: Route, message: Message, context: HandlerContext): unknown {
    return route.run(message, context, this.#version);
  }

  /**
   * Runs every route that covers the message's channel, one after the other in the order of addition; one that fails does
   * not keep the others from running. Rejects with `NOT_FOUND` when there is none, with what the one throws that failed,
   * and with an AggregateError of them when several did.
   */
  async handle(message: Message, context: HandlerContext): Promise<void> {
    const routes = this.match(message.channel);
    if (routes.length === 0) throw nowhere(message.channel);
    const errors: unknown[] = [];
    for (const route of routes) {
      try {
        await this.run(route, message, context);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1)
      throw new AggregateError(
        errors,
        `${errors.length} routes failed for a message on '${message.channel}'.`,
      );
  }
}

function nowhere(channel: string): HeraldError {
  return new HeraldError(
    "NOT_FOUND",
    `No route covers '${channel}': add one, or '#' for what no other takes.`,
    {
      details: { channel },
    },
  );
}
