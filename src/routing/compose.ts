import { HeraldError } from "../core/errors.ts";
import type { Handler, HandlerContext, Middleware } from "../core/middleware.ts";
import type { Message } from "../core/message.ts";

/**
 * One handler out of middlewares and a handler, as an onion: the first middleware is the outermost. Without middlewares it
 * is the handler itself.
 *
 * It resolves to the handler's result, unless a middleware returns something other than undefined, which then takes its
 * place. A middleware that returns without calling `next` ends the chain there. What is thrown travels outward, and a
 * middleware that waits for `next` may catch it. A `next` that was called and not awaited is awaited all the same, so that
 * no message counts as handled while its handler runs, and no failure is lost.
 *
 * Calling `next` twice, or after the middleware has returned, fails the chain with `INVALID_ARGUMENT`: the handler never
 * runs twice for one delivery. A middleware that is not a function is refused with the same code at once.
 */
export function compose(middlewares: readonly Middleware[], handler: Handler): Handler {
  const wrong = middlewares.findIndex((middleware) => typeof middleware !== "function");
  if (wrong >= 0) {
    throw new HeraldError(
      "INVALID_ARGUMENT",
      `Middleware ${wrong} is not a function; give (message, context, next) => …`,
      {
        details: { field: `middlewares[${wrong}]` },
      },
    );
  }
  // Built once from the inside, so that a message costs one call a layer and no walk over the list.
  return middlewares.reduceRight(wrap, handler);
}

function wrap(inner: Handler, middleware: Middleware): Handler {
  return (message, context) => runLayer({ inner, middleware, message, context });
}

interface Layer {
  readonly inner: Handler;
  readonly middleware: Middleware;
  readonly message: Message;
  readonly context: HandlerContext;
}

async function runLayer({ inner, middleware, message, context }: Layer): Promise<unknown> {
  let rest: Rest | undefined;
  let returned = false;
  let misuse: HeraldError | undefined;

  const next = (): Promise<unknown> => {
    if (rest === undefined && !returned) return (rest = Rest.start(() => inner(message, context)));
    misuse = calledWrongly(middleware, returned);
    return refused(misuse);
  };

  try {
    const own = await middleware(message, context, next);
    // A failure that the middleware waited for was its to catch. Everything else must end, or fail, before the message is settled.
    if (rest !== undefined && !(rest.observed && rest.settled)) await rest;
    if (misuse !== undefined) throw misuse;
    return own === undefined ? rest?.result : own;
  } finally {
    returned = true;
  }
}

/** The inner part of the onion, running: a promise that knows whether anybody waits for it and whether it has ended. */
class Rest extends Promise<unknown> {
  observed = false;
  settled = false;
  result: unknown;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static start(run: () => unknown): Rest {
    const rest = new Rest((resolve, reject) => {
      try {
        resolve(run());
      } catch (error) {
        reject(error);
      }
    });
    const end = (result?: unknown): void => {
      rest.settled = true;
      rest.result = result;
    };
    // The record is no observer: a failure that nobody waits for is the chain's to report.
    void Promise.prototype.then.call(rest, end, () => end());
    return rest;
  }

  // Awaiting a promise of a subclass calls its `then`: the one way to learn that somebody waits.
  // oxlint-disable-next-line unicorn/no-thenable
  override then<A = unknown, B = never>(
    onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.observed = true;
    return super.then(onFulfilled, onRejected);
  }
}

/** A rejection that is reported by the chain as well, so nobody has to wait for it. */
function refused(error: HeraldError): Promise<never> {
  const rejection = Promise.reject(error);
  rejection.catch(() => {});
  return rejection;
}

function calledWrongly(middleware: Middleware, returned: boolean): HeraldError {
  const name = middleware.name === "" ? "A middleware" : `Middleware '${middleware.name}'`;
  const how = returned ? "called next() after it had returned" : "called next() twice";
  return new HeraldError("INVALID_ARGUMENT", `${name} ${how}; call it at most once and await it.`, {
    details: { middleware: middleware.name },
  });
}
