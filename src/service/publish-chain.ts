import { HeraldError } from "../core/errors.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import type { HandlerContext, Middleware } from "../core/middleware.ts";
import { compose } from "../routing/compose.ts";
import { checkFunction } from "./check-options.ts";
import { InTurn } from "./in-turn.ts";

/** What is about to be published: a copy, which a middleware may change. */
export interface OutgoingMessage {
  /** The agent that publishes. */
  readonly source: string;
  readonly channel: string;
  payload: unknown;
  options: PublishOptions;
}

/**
 * Stands around a publish. `next` goes on with what `outgoing` is by then, and ends when the broker has the message. One that
 * does not call it keeps the message back, and the publish rejects with `REJECTED`. It must not wait for a publish of its
 * own on the same channel: that one waits behind this one.
 */
export type PublishMiddleware = (outgoing: OutgoingMessage, next: () => Promise<void>) => unknown;

/** The middlewares around every publish of a service. Messages of one channel leave in the order of the calls, whatever a middleware waits for. */
export class PublishChain {
  readonly #layers: Middleware[] = [];
  readonly #turns: InTurn<OutgoingMessage>;

  constructor(maxWaiting: number) {
    this.#turns = new InTurn(maxWaiting);
  }

  get isEmpty(): boolean {
    return this.#layers.length === 0;
  }

  /** Adds one as the innermost. Throws `INVALID_ARGUMENT`. */
  use(middleware: PublishMiddleware): void {
    checkFunction("middleware", middleware);
    const layer: Middleware = (outgoing, _context, next) =>
      middleware(outgoing as unknown as OutgoingMessage, next as () => Promise<void>);
    this.#layers.push(Object.defineProperty(layer, "name", { value: middleware.name }));
  }

  /** Runs the middlewares, then `send`; resolves as that does. Rejects with what one of them throws, and with `REJECTED`. */
  async run<T>(outgoing: OutgoingMessage, send: (outgoing: OutgoingMessage) => Promise<T>): Promise<T> {
    const { promise: reached, resolve, reject } = Promise.withResolvers<OutgoingMessage>();
    // The place in line is taken now, before a middleware waits for anything.
    const sent = this.#turns.run(reached, outgoing.channel, send);
    sent.catch(() => undefined);
    const onion = compose(this.#layers, async () => {
      resolve(outgoing);
      await sent;
    });
    try {
      await onion(outgoing as unknown as Message, undefined as unknown as HandlerContext);
    } catch (error) {
      reject(error);
      throw error;
    }
    reject(keptBack(outgoing.channel));
    return sent;
  }

  /** Resolves when everything that was published has left or has failed. */
  idle(): Promise<void> {
    return this.#turns.idle();
  }
}

function keptBack(channel: string): HeraldError {
  const message = `A middleware kept the message on '${channel}' back: it returned without calling next().`;
  return new HeraldError("REJECTED", message, { details: { channel } });
}
