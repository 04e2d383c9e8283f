/// <reference lib="esnext.disposable" preserve="true" />
import { HeraldError, isHeraldError, showValue, toHeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { HandlerContext } from "../core/middleware.ts";
import { retryPolicy, type BackoffStrategy, type RetryPolicy } from "../delivery/retry.ts";
import { ready, release, type Link, type Listening, type ListenOptions } from "./messaging.ts";
import { keepAlive, pause } from "./pause.ts";
import { ReplyStreams, type StreamHandler, type StreamOptions } from "./reply-stream.ts";
import type { Answer, QueryResult, RequestOptions } from "./request-reply.ts";

/** How often a request is sent again that nobody answered. */
export interface RequestRetryOptions {
  /** Requests in all, the first included. */
  readonly attempts: number;
  /** Wait before the second, milliseconds. */
  readonly delay: number;
  /** Default `exponential`. */
  readonly backoff?: BackoffStrategy;
  /** Milliseconds. Default 30,000. */
  readonly maxDelay?: number;
}

/** Answers a request: its payload first, the whole message and the context for those who want them. The result is the reply. */
export type RequestHandler<Q = unknown, T = unknown> = (
  payload: Q,
  message: Message,
  context: HandlerContext,
) => T | Promise<T>;

const ONCE: RequestRetryOptions = { attempts: 1, delay: 0 };

/** Questions and their answers: one, several, or one in parts. */
export class RequestReply implements AsyncDisposable {
  readonly #link: Link;
  readonly #streams: ReplyStreams;
  #timeoutMs: number | undefined;
  #retry: RetryPolicy = policyOf(ONCE);

  constructor(link: Link) {
    this.#link = link;
    this.#streams = new ReplyStreams(link.messaging);
  }

  /** How long a request waits for its reply unless it says otherwise, milliseconds. Default 30,000. Throws `INVALID_ARGUMENT`. */
  setTimeout(timeout: number): void {
    if (!(timeout > 0)) throw wrong("timeout", "above 0", timeout);
    this.#timeoutMs = timeout;
  }

  /** Sends a request again, under the same id, that had no reply in time or nobody to answer it. Default: once and no more. Throws `INVALID_ARGUMENT`. */
  setRetry(options: RequestRetryOptions): void {
    this.#retry = policyOf(options);
  }

  /**
   * Resolves with the reply's value; with `replies`, with the {@link Answer}s of several. Rejects with RequestTimeoutError,
   * NoResponderError, CommandError (the responder failed; its code), `CANCELLED`, and as `MessagingService.publish` does.
   */
  request<T>(
    topic: string,
    payload: unknown,
    options: RequestOptions & { readonly replies: number },
  ): Promise<Answer<T>[]>;
  request<T>(topic: string, payload: unknown, options?: RequestOptions): Promise<T>;
  async request(topic: string, payload: unknown, options: RequestOptions = {}): Promise<unknown> {
    await ready(this.#link);
    const asked = this.#timeoutMs === undefined ? options : { timeoutMs: this.#timeoutMs, ...options };
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#link.messaging.request(topic, payload, asked);
      } catch (error) {
        const delayMs = isUnanswered(error) ? this.#retry.delayAfter(attempt) : undefined;
        if (delayMs === undefined) throw error;
        // The next request says what a signal that has fired means.
        await keepAlive(pause(this.#link.messaging.clock, delayMs, [options.signal]));
      }
    }
  }

  /** As {@link request}, but never rejects: what went wrong is in the result. */
  async query<T = unknown>(
    topic: string,
    payload: unknown,
    options: Omit<RequestOptions, "replies"> = {},
  ): Promise<QueryResult<T>> {
    try {
      return { ok: true, data: await this.request<T>(topic, payload, { type: "query", ...options }) };
    } catch (error) {
      return { ok: false, error: toHeraldError(error) };
    }
  }

  /** Answers what is asked on a topic. What the handler throws is the caller's error. Rejects as `MessagingService.subscribe` does. */
  async reply<Q = unknown, T = unknown>(
    topic: string,
    handler: RequestHandler<Q, T>,
    options: ListenOptions = {},
  ): Promise<Listening> {
    if (typeof handler !== "function") throw wrong("handler", "a function", handler);
    await ready(this.#link);
    return this.#link.messaging.subscribe(
      topic,
      // A caller waits for an answer, also where there is nothing to say.
      async (message, context) => (await handler(message.payload as Q, message, context)) ?? null,
      options,
    );
  }

  /**
   * The parts of a reply, as they come, in order; the responder is never further ahead than `window`. Leaving the loop
   * cancels it. A responder that answers at once gives one part. Throws what {@link request} rejects with, and `CONFLICT`
   * when the responder died after parts were taken and another began again.
   */
  async *stream<T = unknown>(
    topic: string,
    payload: unknown,
    options: StreamOptions = {},
  ): AsyncGenerator<T, void, undefined> {
    await ready(this.#link);
    const timeout = this.#timeoutMs === undefined ? {} : { timeoutMs: this.#timeoutMs };
    yield* this.#streams.ask(topic, payload, { ...timeout, ...options }) as AsyncGenerator<
      T,
      void,
      undefined
    >;
  }

  /** Answers what is asked on a topic in parts. To a plain request it replies with all of them in a list. */
  async replyStream<Q = unknown, T = unknown>(
    topic: string,
    handler: StreamHandler<Q, T>,
    options: ListenOptions = {},
  ): Promise<Listening> {
    if (typeof handler !== "function") throw wrong("handler", "a function", handler);
    await ready(this.#link);
    return this.#link.messaging.subscribe(topic, this.#streams.answering(handler), options);
  }

  /** Ends its streams, and stops the service where it is this object's own. */
  async close(): Promise<void> {
    await this.#streams.close();
    await release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The policy of messages, in these words. Throws `INVALID_ARGUMENT` naming the field. */
export function policyOf({ attempts, delay, backoff, maxDelay }: RequestRetryOptions): RetryPolicy {
  return retryPolicy({
    maxAttempts: attempts,
    backoff: {
      initialDelayMs: delay,
      ...(backoff === undefined ? {} : { strategy: backoff }),
      ...(maxDelay === undefined ? {} : { maxDelayMs: maxDelay }),
    },
  });
}

/** Nobody answered: unlike a failure, which is an answer. */
function isUnanswered(error: unknown): boolean {
  return (
    isHeraldError(error) &&
    error.name !== "CommandError" &&
    (error.code === "TIMEOUT" || error.code === "NO_RESPONDER")
  );
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}
