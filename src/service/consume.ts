import { SnoozeError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Handler, HandlerContext, NackOptions } from "../core/middleware.ts";
import type { SubscriptionHandle } from "./options.ts";

/** One message that a loop consumes; it is settled by hand. */
export interface Consumed<T = unknown> {
  readonly message: Message<T>;
  readonly context: HandlerContext;
  /** Handled. */
  ack(): void;
  /** Gives it back. `requeue: false` sends it to the dead letters; without `delayMs` the retry policy decides. */
  nack(options?: NackOptions): void;
}

/** A message between its arrival and its settlement. */
class Taken<T> implements Consumed<T> {
  readonly message: Message<T>;
  readonly context: HandlerContext;
  /** Ends when the message is settled; rejects when it is given back untouched. */
  readonly ended: Promise<void>;
  readonly #inner: HandlerContext;
  readonly #end: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(message: Message<T>, context: HandlerContext) {
    this.message = message;
    this.#inner = context;
    this.context = settlingBy(this, context);
    this.ended = this.#end.promise;
  }

  // Functions of their own, so that a loop may take them apart: `for await (const { message, ack } of …)`.
  readonly ack = (): void => {
    this.#inner.ack();
    this.#end.resolve();
  };

  readonly nack = (options?: NackOptions): void => {
    this.#inner.nack(options);
    this.#end.resolve();
  };

  /** Nobody looked at it: back at once, not counted. */
  release(): void {
    this.#end.reject(new SnoozeError(0));
  }
}

/** The context of a message whose settling, by whichever of the two, ends its handler. */
function settlingBy(taken: Pick<Consumed, "ack" | "nack">, context: HandlerContext): HandlerContext {
  return new Proxy(context, {
    get(target, name): unknown {
      if (name === "ack") return () => taken.ack();
      if (name === "nack") return (options?: NackOptions) => taken.nack(options);
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/**
 * The messages of a subscription as an async iterator. It subscribes when first asked and ends with the loop, the
 * subscription or the service. What was not looked at is given back then, uncounted; what was taken and not settled too. A
 * message whose time was up before the loop came to it is passed over: it is on its way to somebody else.
 */
export async function* consumeFrom<T>(
  subscribe: (handler: Handler) => Promise<SubscriptionHandle>,
): AsyncGenerator<Consumed<T>, void, undefined> {
  const waiting: Taken<T>[] = [];
  const open = new Set<Taken<T>>();
  let wake = (): void => {};
  const subscription = await subscribe((message, context) => {
    const taken = new Taken(message as Message<T>, context);
    waiting.push(taken);
    open.add(taken);
    context.signal.addEventListener("abort", () => {
      open.delete(taken);
      const at = waiting.indexOf(taken);
      if (at >= 0) waiting.splice(at, 1);
    });
    wake();
    return taken.ended.finally(() => open.delete(taken));
  });
  const { signal } = subscription;
  const giveBack = (items: Iterable<Taken<T>>): void => {
    for (const taken of items) taken.release();
  };
  signal.addEventListener("abort", () => {
    giveBack(waiting.splice(0));
    wake();
  });
  try {
    while (!signal.aborted) {
      const next = waiting.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    giveBack(open);
    await subscription.unsubscribe();
  }
}
