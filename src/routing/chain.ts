import type { Message } from "../core/message.ts";
import type { Handler, HandlerContext, Middleware } from "../core/middleware.ts";
import { compose } from "./compose.ts";

/** Wraps the handling of a message: does something before `next`, after it, or instead of it. */
export type MessageMiddleware = (message: Message, next: () => Promise<void>) => unknown;

/** Middlewares in the order in which they are entered. The onion, and its guard against a second `next`, is {@link compose}'s. */
export class MiddlewareChain {
  readonly #entries: { readonly own: MessageMiddleware; readonly layer: Middleware }[] = [];

  /** Throws `INVALID_ARGUMENT` when one of them is not a function. */
  constructor(middlewares: readonly MessageMiddleware[] = []) {
    for (const middleware of middlewares) this.use(middleware);
  }

  /** Adds one as the innermost. Throws `INVALID_ARGUMENT` when it is not a function. */
  use(middleware: MessageMiddleware): this {
    const layer = layerOf(middleware);
    compose([layer], () => undefined);
    this.#entries.push({ own: middleware, layer });
    return this;
  }

  /** Takes one out, wherever it stands; the first one if it was added twice. Not there: no error. */
  remove(middleware: MessageMiddleware): this {
    const at = this.#entries.findIndex(({ own }) => own === middleware);
    if (at >= 0) this.#entries.splice(at, 1);
    return this;
  }

  /**
   * Runs the chain as it is now, then `last`, unless a middleware does not call `next`. Rejects with what one of them throws
   * and nobody catches, and with `INVALID_ARGUMENT` when a middleware calls `next` twice or after it has returned.
   */
  async execute(message: Message, last: (message: Message) => unknown = () => undefined): Promise<void> {
    await this.around(last)(message, NO_CONTEXT);
  }

  /** One handler out of the chain as it is now and a handler. */
  around(handler: Handler): Handler {
    return compose(
      this.#entries.map(({ layer }) => layer),
      handler,
    );
  }
}

/** No middleware of a chain sees a context, and `last` is not given one. */
const NO_CONTEXT = undefined as unknown as HandlerContext;

function layerOf(middleware: MessageMiddleware): Middleware {
  if (typeof middleware !== "function") return middleware;
  const layer: Middleware = (message, _context, next) => middleware(message, next as () => Promise<void>);
  // What is refused is named by its author's name for it.
  return Object.defineProperty(layer, "name", { value: middleware.name });
}
