import type { Clock } from "../core/clock.ts";
import { Deadlines, type Deadline } from "../core/deadlines.ts";
import {
  CommandError,
  describeThrown,
  HeraldError,
  isHeraldError,
  NoResponderError,
  RequestTimeoutError,
  showValue,
} from "../core/errors.ts";
import { createId } from "../core/ids.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import type { Handler, HandlerContext } from "../core/middleware.ts";
import type { Published } from "../delivery/publisher.ts";

/** Header of a reply that reports a failure; its value is the error's code. */
export const ERROR_HEADER = "x-error-code";

/** What a caller may say beside channel and payload. */
export interface RequestOptions extends PublishOptions {
  /** Default 30,000. */
  readonly timeoutMs?: number;
  /** Stops waiting with `CANCELLED`; the request may still be handled. */
  readonly signal?: AbortSignal;
  /**
   * Asks several: resolves with the {@link Answer}s of the first so many, in the order in which they came, or with those that
   * came in time. Infinity: with all that came in time. Default: with the payload of the first reply.
   */
  readonly replies?: number;
}

/** What came of a question, where a failure is a value. */
export type QueryResult<T = unknown> =
  | { readonly ok: true; readonly data: T; readonly error?: undefined }
  | { readonly ok: false; readonly data?: undefined; readonly error: HeraldError };

/** One of several answers to a request. */
export type Answer<T = unknown> = QueryResult<T> & {
  /** The agent that answered. */
  readonly from: string;
};

/** What asking needs of the layer below. */
export interface RequesterOptions {
  readonly clock: Clock;
  /** The one channel that all replies to this process come to. */
  readonly replyChannel: string;
  readonly publish: (channel: string, payload: unknown, options: PublishOptions) => Promise<Published>;
  /** Starts listening on the reply channel; called once, before the first request. */
  readonly listen: (onReply: (message: Message) => void) => Promise<void>;
  /** A reply came whose request had ended. */
  readonly onLate: () => void;
}

interface Pending {
  readonly channel: string;
  readonly timeoutMs: number;
  readonly resolve: (payload: unknown) => void;
  readonly reject: (error: HeraldError) => void;
  readonly deadline: Deadline<string>;
  /** Undefined: the first reply is the answer. */
  readonly gathering: { readonly wanted: number; readonly answers: Answer[] } | undefined;
  readonly stopListening: (() => void) | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Sends requests and pairs the replies: one reply channel and one timer, however many requests wait. */
export class Requester {
  readonly #options: RequesterOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #deadlines: Deadlines<string>;
  #listening: Promise<void> | undefined;
  #ready = false;
  #closed = false;

  constructor(options: RequesterOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(options.clock, (id) => this.#timeOut(id));
  }

  /** Requests that wait for their reply. */
  get pending(): number {
    return this.#pending.size;
  }

  /** True once replies can arrive: from then on a request is published before {@link request} returns. */
  get isReady(): boolean {
    return this.#ready;
  }

  /**
   * Resolves with the reply's payload. Rejects with RequestTimeoutError, NoResponderError, CommandError (the responder
   * failed; its code), `CANCELLED` (the signal fired), `CLOSED`, or what publishing rejects with. With `replies` it resolves
   * with Answers, failed ones among them, and rejects with RequestTimeoutError only when none came.
   */
  request(channel: string, payload: unknown, options: RequestOptions = {}): Promise<unknown> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, replies } = options;
    if (!(timeoutMs > 0)) return Promise.reject(wrong("timeoutMs", "above 0", timeoutMs));
    if (replies !== undefined && !isCount(replies))
      return Promise.reject(wrong("replies", "a whole number of 1 or more, or Infinity", replies));
    if (this.#ready) return this.#ask(channel, payload, options);
    return this.#listen().then(() => this.#ask(channel, payload, options));
  }

  #listen(): Promise<void> {
    this.#listening ??= this.#options
      .listen((message) => this.#onReply(message))
      .then(
        () => void (this.#ready = true),
        (error: unknown) => {
          // The next request tries again.
          this.#listening = undefined;
          throw error;
        },
      );
    return this.#listening;
  }

  /** Rejects every waiting request with `CLOSED`. */
  close(): void {
    this.#closed = true;
    for (const id of Array.from(this.#pending.keys())) this.#end(id)?.reject(closed());
    this.#deadlines.clear();
  }

  #ask(channel: string, payload: unknown, options: RequestOptions): Promise<unknown> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal, replies, ...publishOptions } = options;
    if (this.#closed) return Promise.reject(closed());
    if (signal?.aborted === true) return Promise.reject(cancelled(signal));
    const id = options.id ?? createId(this.#options.clock.now());
    if (this.#pending.has(id)) return Promise.reject(alreadyWaits(id));
    const reply = this.#wait(id, { channel, timeoutMs, signal, replies });
    const request = { type: "query", ...publishOptions, id, replyTo: this.#options.replyChannel };
    this.#options.publish(channel, payload, request).then(
      (published) => {
        if (published.matched === 0) this.#end(id)?.reject(new NoResponderError(channel));
      },
      (error: HeraldError) => this.#end(id)?.reject(error),
    );
    return reply;
  }

  #wait(
    id: string,
    asked: Pick<Pending, "channel" | "timeoutMs"> & {
      readonly signal: AbortSignal | undefined;
      readonly replies: number | undefined;
    },
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { channel, timeoutMs, signal, replies } = asked;
      const onAbort = signal === undefined ? undefined : () => this.#end(id)?.reject(cancelled(signal));
      if (onAbort !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, {
        channel,
        timeoutMs,
        resolve,
        reject,
        deadline: this.#deadlines.add(timeoutMs, id),
        gathering: replies === undefined ? undefined : { wanted: replies, answers: [] },
        stopListening:
          onAbort === undefined ? undefined : () => signal?.removeEventListener("abort", onAbort),
      });
    });
  }

  #onReply(message: Message): void {
    const { causationId, correlationId, headers } = message.metadata;
    // A reply written by hand may carry the correlation alone.
    const id = [causationId, correlationId].find((one) => one !== undefined && this.#pending.has(one));
    const pending = this.#pending.get(id ?? "");
    if (pending === undefined) {
      this.#options.onLate();
      return;
    }
    const code = headers?.[ERROR_HEADER];
    const { gathering } = pending;
    if (gathering !== undefined) {
      gathering.answers.push(answerOf(message, code));
      if (gathering.answers.length < gathering.wanted) return;
    }
    this.#end(id);
    if (gathering !== undefined) pending.resolve(gathering.answers);
    else if (code === undefined) pending.resolve(message.payload);
    else pending.reject(commandError(code, message.payload));
  }

  #timeOut(id: string): void {
    const pending = this.#end(id);
    const { answers = [] } = pending?.gathering ?? {};
    if (answers.length > 0) pending?.resolve(answers);
    else pending?.reject(new RequestTimeoutError(pending.channel, pending.timeoutMs));
  }

  #end(id: string | undefined): Pending | undefined {
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id as string);
    this.#deadlines.cancel(pending.deadline);
    pending.stopListening?.();
    return pending;
  }
}

/** Sends one reply to a message that wants one. */
export type SendReply = (
  message: Message,
  payload: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<unknown>;

/**
 * A handler whose result is the reply where one is wanted. What it throws, and why its result cannot be sent, is then the
 * caller's error, reported once and not retried: the caller decides whether to ask again.
 */
export function answering(handler: Handler, sendReply: SendReply): Handler {
  return (message, context) => {
    if (message.metadata.replyTo === undefined) return handler(message, context);
    return answer(handler, sendReply, { message, context });
  };
}

interface Run {
  readonly message: Message;
  readonly context: HandlerContext;
}

async function answer(handler: Handler, sendReply: SendReply, { message, context }: Run): Promise<unknown> {
  let result: unknown;
  try {
    result = await handler(message, context);
  } catch (error) {
    if (isHeraldError(error) && error.name === "SnoozeError") throw error;
    return answerError(sendReply, message, error);
  }
  if (result === undefined) return undefined;
  try {
    await sendReply(message, result);
  } catch (error) {
    // A result that can never be sent (too large, no JSON) is a failure like any other; one that can comes again.
    if (!isHeraldError(error) || error.retryable) throw error;
    return answerError(sendReply, message, error);
  }
  return result;
}

async function answerError(sendReply: SendReply, message: Message, error: unknown): Promise<undefined> {
  const code = isHeraldError(error) ? error.code : "HANDLER_FAILED";
  await sendReply(message, { error: { code, message: describeThrown(error) } }, { [ERROR_HEADER]: code });
}

function answerOf({ source, payload }: Message, code: string | undefined): Answer {
  if (code === undefined) return { ok: true, data: payload, from: source };
  return { ok: false, error: commandError(code, payload), from: source };
}

/** The failure that a reply reports. */
export function commandError(code: string, payload: unknown): CommandError {
  const error = (payload as { error?: { message?: unknown; details?: unknown } } | null)?.error;
  const message = typeof error?.message === "string" ? error.message : `The responder failed with ${code}.`;
  return new CommandError(code, message);
}

function isCount(replies: number): boolean {
  return replies === Infinity || (Number.isInteger(replies) && replies >= 1);
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}

function alreadyWaits(id: string): HeraldError {
  return new HeraldError(
    "ALREADY_EXISTS",
    `A request with the id '${id}' waits for its reply already: choose another id.`,
  );
}

function cancelled(signal: AbortSignal): HeraldError {
  return new HeraldError("CANCELLED", "The request was cancelled by its signal; it may still be handled.", {
    cause: signal.reason,
  });
}

function closed(): HeraldError {
  return new HeraldError("CLOSED", "The service has stopped: start it before it asks anything.");
}
