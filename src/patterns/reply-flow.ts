import type { Clock, TimerHandle } from "../core/clock.ts";
import { HeraldError, RequestTimeoutError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { commandError, ERROR_HEADER } from "./request-reply.ts";

/** Header of a part of a streamed reply: what it is. Of the question: how many parts may be on their way. */
export const STREAM = "x-stream";
/** Header: which part, 0 first. */
export const SEQUENCE = "x-stream-sequence";
/** Header: one run of the responder; another one after it died began again. */
export const RUN = "x-stream-run";

/** One step of a streamed reply. */
export type Step =
  | { readonly kind: "part" | "progress"; readonly value: unknown }
  | { readonly kind: "end" }
  | { readonly kind: "failed"; readonly error: HeraldError };

/** What has come of one streamed reply, put into order and freed of repeats. */
export class Inflow {
  readonly #clock: Clock;
  readonly #channel: string;
  readonly #steps = new Map<number, Step>();
  #next = 0;
  #run: string | undefined;
  #failure: HeraldError | undefined;
  #wake: (() => void) | undefined;
  /** Where the responder hears of room and of a cancel; undefined until its first part. */
  responder: { readonly channel: string; readonly run: string } | undefined;

  constructor(clock: Clock, channel: string) {
    this.#clock = clock;
    this.#channel = channel;
  }

  /** Steps that were taken. */
  get taken(): number {
    return this.#next;
  }

  accept(message: Message): void {
    const { headers = {}, replyTo } = message.metadata;
    const run = headers[RUN];
    if (run === undefined) this.#acceptPlain(message, headers[ERROR_HEADER]);
    else {
      if (!this.#belongs(run)) return;
      if (replyTo !== undefined) this.responder = { channel: replyTo, run };
      this.#steps.set(Number(headers[SEQUENCE]), stepOf(message));
    }
    this.#wake?.();
  }

  fail(error: HeraldError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** The next step in order. Rejects with RequestTimeoutError when nothing came for `timeoutMs`, and with what it was failed with. */
  async next(timeoutMs: number): Promise<Step> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const step = this.#steps.get(this.#next);
      if (step !== undefined) {
        this.#steps.delete(this.#next++);
        return step;
      }
      await this.#wait(timeoutMs);
    }
  }

  /** A responder that knows of no streams: its reply is the only part. */
  #acceptPlain({ payload }: Message, code: string | undefined): void {
    if (code !== undefined)
      this.#steps.set(this.#next, { kind: "failed", error: commandError(code, payload) });
    else {
      this.#steps.set(this.#next, { kind: "part", value: payload });
      this.#steps.set(this.#next + 1, { kind: "end" });
    }
  }

  #belongs(run: string): boolean {
    if (this.#run === run) return true;
    if (this.#next > 0) {
      const message = `The responder on '${this.#channel}' began again after ${this.#next} steps were taken: ask again.`;
      this.fail(
        new HeraldError("CONFLICT", message, { details: { channel: this.#channel, taken: this.#next } }),
      );
      return false;
    }
    this.#run = run;
    this.#steps.clear();
    return true;
  }

  #wait(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#wake = undefined;
        timer.cancel();
        resolve();
      };
      this.#wake = end;
      const timer: TimerHandle = this.#clock.setTimer(timeoutMs, () => {
        this.#failure ??= new RequestTimeoutError(this.#channel, timeoutMs);
        end();
      });
    });
  }
}

function stepOf({ metadata, payload }: Message): Step {
  const { headers = {} } = metadata;
  const code = headers[ERROR_HEADER];
  if (code !== undefined) return { kind: "failed", error: commandError(code, payload) };
  const kind = headers[STREAM];
  if (kind === "end") return { kind };
  return { kind: kind === "progress" ? "progress" : "part", value: payload };
}

/** How much a responder may send: it waits for room, and hears when nobody wants more. */
export class Outflow {
  readonly #clock: Clock;
  readonly #cancelling = new AbortController();
  #upTo: number;
  #sent = 0;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, window: number) {
    this.#clock = clock;
    this.#upTo = window;
  }

  /** Fires when nobody wants more. Its reason is a HeraldError. */
  get signal(): AbortSignal {
    return this.#cancelling.signal;
  }

  /** The steps before this one may be on their way. */
  grant(upTo: number): void {
    if (upTo > this.#upTo) this.#upTo = upTo;
    this.#wake?.();
  }

  cancel(why: string): void {
    this.#cancelling.abort(new HeraldError("CANCELLED", why));
    this.#wake?.();
  }

  /** Resolves with the number of the next step once there is room for it. Rejects when nobody wants it, or takes any for `patienceMs`. */
  async room(patienceMs: number): Promise<number> {
    while (this.#sent >= this.#upTo && !this.signal.aborted) await this.#wait(patienceMs);
    this.signal.throwIfAborted();
    return this.#sent++;
  }

  #wait(patienceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#wake = undefined;
        timer.cancel();
        resolve();
      };
      this.#wake = end;
      const timer: TimerHandle = this.#clock.setTimer(patienceMs, () =>
        this.cancel("Whoever asked for the stream takes nothing more."),
      );
    });
  }
}
