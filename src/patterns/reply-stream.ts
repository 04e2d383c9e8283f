import { describeThrown, HeraldError, isHeraldError, showValue } from "../core/errors.ts";
import { createId } from "../core/ids.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import type { Handler, HandlerContext } from "../core/middleware.ts";
import { currentDelivery } from "../delivery/context.ts";
import type { Listening, Messaging } from "./messaging.ts";
import { once } from "../core/once.ts";
import { Inflow, Outflow, RUN, SEQUENCE, STREAM } from "./reply-flow.ts";
import { ERROR_HEADER } from "./request-reply.ts";

/** How a streamed reply is asked for. */
export interface StreamOptions {
  /** How long nothing may come, milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Most steps on their way: the responder waits until earlier ones were taken. Default 16. */
  readonly window?: number;
  /** Ends the stream with `CANCELLED`, here and at the responder. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (value: unknown) => void;
}

/** What a streaming responder knows of its question, and may do for it. */
export interface StreamContext {
  readonly message: Message;
  readonly attempt: number;
  /** Fires when nobody wants more of the stream, or the handler's time is up. Its reason is a HeraldError. */
  readonly signal: AbortSignal;
  /** Tells how far it is, between two parts. It waits for room as a part does. */
  readonly progress: (value: unknown) => Promise<void>;
}

/** Answers one question part by part. A throw ends the stream with that error; it is not tried again. */
export type StreamHandler<Q = unknown, T = unknown> = (
  payload: Q,
  context: StreamContext,
) => AsyncIterable<T> | Iterable<T>;

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_WINDOW = 16;
const CANCEL = "cancel";
const MORE = "more";

/**
 * Replies in parts: numbered, so that they keep their order and a repeat does nothing; never more on their way than whoever
 * asked has room for; ended from either side. One channel for all streams of a process, asked for and answered.
 */
export class ReplyStreams {
  readonly #messaging: Messaging;
  readonly #channel: string;
  readonly #asked = new Map<string, Inflow>();
  readonly #answering = new Map<string, Outflow>();
  readonly #listen: () => Promise<Listening>;
  #listening: Listening | undefined;

  constructor(messaging: Messaging) {
    this.#messaging = messaging;
    this.#channel = `reply.${messaging.agentId}.${createId()}`;
    this.#listen = once(async () => {
      this.#listening = await messaging.subscribe(this.#channel, (message) => this.#heard(message), {
        group: null,
        guarantee: "at-least-once",
        prefetch: 1000,
        ack: "auto",
      });
      return this.#listening;
    });
  }

  /** The parts, as they come. Leaving the loop cancels the rest. Throws as `request` does, and `CONFLICT` when the responder died and began again. */
  async *ask(
    channel: string,
    payload: unknown,
    options: StreamOptions = {},
  ): AsyncGenerator<unknown, void, undefined> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, window = DEFAULT_WINDOW, signal, onProgress } = options;
    checkOptions(timeoutMs, window);
    if (signal?.aborted === true) throw cancelled(signal);
    await this.#listen();
    const { clock } = this.#messaging;
    const id = createId(clock.now());
    const flow = new Inflow(clock, channel);
    const onAbort = (): void => flow.fail(cancelled(signal));
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#asked.set(id, flow);
    let isOver = false;
    try {
      const headers = { [STREAM]: String(window) };
      await this.#messaging.publish(channel, payload, { type: "query", id, replyTo: this.#channel, headers });
      for (let granted = window; ;) {
        const step = await flow.next(timeoutMs);
        isOver = step.kind === "end" || step.kind === "failed";
        if (step.kind === "failed") throw step.error;
        if (step.kind === "end") return;
        if (step.kind === "progress") onProgress?.(step.value);
        else yield step.value;
        // Half a window at once: a word for every part would double the traffic.
        if (flow.taken + window - granted < window / 2) continue;
        granted = flow.taken + window;
        await this.#tell(flow, MORE, granted);
      }
    } finally {
      this.#asked.delete(id);
      signal?.removeEventListener("abort", onAbort);
      if (!isOver) await this.#tell(flow, CANCEL, 0);
    }
  }

  /** A handler that answers in parts; to a plain request it replies with all of them in a list. */
  answering(handler: StreamHandler<never>): Handler {
    return async (message, context) => {
      const window = Number(message.metadata.headers?.[STREAM]);
      if (message.metadata.replyTo === undefined || !(window >= 1)) return collect(handler, message, context);
      await this.#listen();
      await this.#answer(handler, message, { context, window });
      return undefined;
    };
  }

  /** Ends what is asked with `CLOSED`, and what is answered with a cancel. */
  async close(): Promise<void> {
    const error = new HeraldError(
      "CLOSED",
      "The streams of this process are closed: ask through another one.",
    );
    for (const flow of this.#asked.values()) flow.fail(error);
    for (const flow of this.#answering.values()) flow.cancel("The responder closes.");
    await this.#listening?.unsubscribe();
  }

  async #answer(
    handler: StreamHandler<never>,
    message: Message,
    { context, window }: { readonly context: HandlerContext; readonly window: number },
  ): Promise<void> {
    const run = createId();
    const flow = new Outflow(this.#messaging.clock, window);
    this.#answering.set(run, flow);
    const signal = AbortSignal.any([context.signal, flow.signal]);
    const send = async (kind: string, payload: unknown, code?: string): Promise<void> => {
      const sequence = await flow.room(DEFAULT_TIMEOUT_MS);
      signal.throwIfAborted();
      await this.#send(message, payload, {
        [STREAM]: kind,
        [SEQUENCE]: String(sequence),
        [RUN]: run,
        ...(code === undefined ? {} : { [ERROR_HEADER]: code }),
      });
    };
    const progress = (value: unknown): Promise<void> => send("progress", value);
    try {
      const parts = handler(message.payload as never, {
        message,
        attempt: context.attempt,
        signal,
        progress,
      });
      for await (const part of parts) await send("part", part);
      await send("end", null);
    } catch (error) {
      if (flow.signal.aborted) return;
      context.signal.throwIfAborted();
      const code = isHeraldError(error) ? error.code : "HANDLER_FAILED";
      await send("failed", { error: { code, message: describeThrown(error) } }, code);
    } finally {
      this.#answering.delete(run);
    }
  }

  #send(
    { id, source, metadata }: Message,
    payload: unknown,
    headers: Readonly<Record<string, string>>,
  ): Promise<string> {
    const { replyTo = "", correlationId } = metadata;
    const options: PublishOptions = {
      type: "reply",
      to: source,
      causationId: id,
      replyTo: this.#channel,
      headers,
      ...(correlationId === undefined ? {} : { correlationId }),
    };
    // A part must leave before the handler has succeeded, also under exactly-once.
    return currentDelivery.exit(() => this.#messaging.publish(replyTo, payload, options));
  }

  async #tell({ responder }: Inflow, word: string, upTo: number): Promise<void> {
    if (responder === undefined) return;
    const headers = { [STREAM]: word, [RUN]: responder.run };
    await this.#messaging.publish(responder.channel, { upTo }, { type: "reply", headers });
  }

  #heard(message: Message): void {
    const { headers = {}, causationId } = message.metadata;
    const word = headers[STREAM];
    if (word !== MORE && word !== CANCEL) {
      this.#asked.get(causationId ?? "")?.accept(message);
      return;
    }
    const flow = this.#answering.get(headers[RUN] ?? "");
    if (word === CANCEL) flow?.cancel("Whoever asked for the stream has left it.");
    else flow?.grant(Number((message.payload as { readonly upTo?: unknown } | null)?.upTo));
  }
}

async function collect(
  handler: StreamHandler<never>,
  message: Message,
  context: HandlerContext,
): Promise<unknown[]> {
  const parts: unknown[] = [];
  const { attempt, signal } = context;
  const about = { message, attempt, signal, progress: () => Promise.resolve() };
  for await (const part of handler(message.payload as never, about)) parts.push(part);
  return parts;
}

function checkOptions(timeoutMs: number, window: number): void {
  const wrong = (field: string, expected: string, value: unknown): HeraldError =>
    new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
      details: { field },
    });
  if (!(timeoutMs > 0)) throw wrong("timeoutMs", "above 0", timeoutMs);
  if (!Number.isInteger(window) || window < 1) throw wrong("window", "a whole number of 1 or more", window);
}

function cancelled(signal: AbortSignal | undefined): HeraldError {
  return new HeraldError("CANCELLED", "The stream was cancelled by its signal.", { cause: signal?.reason });
}
