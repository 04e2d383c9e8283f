import { Deadlines, type Deadline } from "../../core/deadlines.ts";
import { CommandError, HeraldError, isHeraldError, type HeraldError as Failure } from "../../core/errors.ts";
import type { Message, PublishOptions } from "../../core/message.ts";
import { currentDelivery } from "../../delivery/context.ts";
import type { Listening, ListenOptions, Messaging } from "../messaging.ts";
import { once } from "../../core/once.ts";
import { wrong, type ResultOptions } from "./options.ts";

/** What became of a task, or how far it is. */
export type Told =
  | { readonly kind: "done"; readonly value: unknown }
  | { readonly kind: "progress"; readonly value: unknown }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

/** The task that something is told of: its message, or what is known of it. */
export type About = Pick<Message, "id"> & { readonly metadata: Pick<Message["metadata"], "correlationId"> };

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Failure) => void;
  readonly onProgress: ((value: unknown) => void) | undefined;
}

interface Wait {
  readonly id: string;
  readonly waiting: Waiting;
  readonly end: (error: Failure) => void;
}

const TASK = "x-task-id";
const DEFAULT_TIMEOUT_MS = 30_000;
/** Outcomes remembered in this process; an older one is read again from the channel. */
const MAX_KNOWN = 10_000;

const READING: ListenOptions = {
  group: null,
  from: "earliest",
  guarantee: "at-least-once",
  prefetch: 1000,
  ack: "auto",
};

/**
 * Outcomes of tasks on one retained channel: whoever asks for one reads the channel from its beginning, so that it does not
 * matter in which process the task ran, nor whether it had ended before.
 */
export class Results {
  readonly #messaging: Messaging;
  readonly #channel: string;
  readonly #keptMs: number;
  readonly #waiting = new Map<string, Set<Waiting>>();
  readonly #known = new Map<string, Told>();
  readonly #deadlines: Deadlines<Wait>;
  readonly #readers = new Set<Listening>();
  readonly #declare: () => Promise<unknown>;
  readonly #follow: () => Promise<unknown>;
  #isWhole = true;

  constructor(messaging: Messaging, channel: string, keptMs: number) {
    this.#messaging = messaging;
    this.#channel = channel;
    this.#keptMs = keptMs;
    this.#deadlines = new Deadlines(messaging.clock, ({ id, end }) => end(timedOut(id)));
    this.#declare = once(async () => messaging.broker.admin?.declare(channel, { retentionMs: this.#keptMs }));
    this.#follow = once(() => this.#read());
  }

  /** Throws `UNSUPPORTED` where results could not be read again. */
  require(): void {
    const { broker } = this.#messaging;
    broker.require("broadcast", this.#channel, "results of tasks");
    broker.require("replayByPosition", this.#channel, "results of tasks");
  }

  /** Resolves once what is told from now on is heard here. Rejects with `UNSUPPORTED`. */
  async follow(): Promise<void> {
    this.require();
    await this.#follow();
  }

  /** Resolves once the broker has it; inside an exactly-once handler an outcome waits until the handler has succeeded. */
  async tell(about: About, told: Told): Promise<void> {
    await this.#declare();
    const { correlationId } = about.metadata;
    const options: PublishOptions = {
      // A task at the last hop of its conversation may still say what came of it.
      type: "reply",
      causationId: about.id,
      partitionKey: about.id,
      headers: { [TASK]: told.kind },
      ...(correlationId === undefined ? {} : { correlationId }),
    };
    const { kind: _kind, ...payload } = told;
    const publish = (): Promise<string> => this.#messaging.publish(this.#channel, payload, options);
    // How far it is must be known before it has succeeded.
    await (told.kind === "progress" ? currentDelivery.exit(publish) : publish());
  }

  /**
   * Resolves with the task's result. Rejects with CommandError (the task was given up on; its code), `CANCELLED` (the task
   * was, or the signal fired), `TIMEOUT`, `UNSUPPORTED`, `CLOSED`.
   */
  async wait(id: string, options: ResultOptions = {}): Promise<unknown> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal, onProgress } = options;
    if (!(timeoutMs > 0)) throw wrong("timeoutMs", "a number above 0", timeoutMs);
    await this.follow();
    if (signal?.aborted === true) throw cancelledWait(id, signal);
    const known = this.#known.get(id);
    if (known !== undefined) return outcome(known);
    const next = this.#next(id, { timeoutMs, signal, onProgress });
    return this.#isWhole ? next : this.#readingAgain(next);
  }

  /** Rejects whoever waits with `CLOSED`. */
  async close(): Promise<void> {
    const error = new HeraldError(
      "CLOSED",
      "The queue was closed before the task had ended; the task goes on.",
    );
    for (const waiting of this.#waiting.values()) for (const one of waiting) one.reject(error);
    this.#deadlines.clear();
    await Promise.all([...this.#readers].map((reader) => this.#close(reader)));
  }

  /** What was forgotten here may have been the outcome that is waited for. */
  async #readingAgain(next: Promise<unknown>): Promise<unknown> {
    // Told below.
    next.catch(() => undefined);
    const reader = await this.#read();
    try {
      return await next;
    } finally {
      await this.#close(reader);
    }
  }

  async #read(): Promise<Listening> {
    await this.#declare();
    const reader = await this.#messaging.subscribe(this.#channel, (message) => this.#heard(message), READING);
    this.#readers.add(reader);
    return reader;
  }

  async #close(reader: Listening): Promise<void> {
    this.#readers.delete(reader);
    await reader.unsubscribe();
  }

  #next(
    id: string,
    {
      timeoutMs,
      signal,
      onProgress,
    }: {
      readonly timeoutMs: number;
      readonly signal: AbortSignal | undefined;
      readonly onProgress: ((value: unknown) => void) | undefined;
    },
  ): Promise<unknown> {
    let deadline: Deadline<Wait>;
    let waiting: Waiting;
    let onAbort: (() => void) | undefined;
    const waited = new Promise((resolve, reject) => {
      waiting = { resolve, reject, onProgress };
      this.#add(id, waiting);
      deadline = this.#deadlines.add(timeoutMs, { id, waiting, end: reject });
      if (signal === undefined) return;
      onAbort = () => reject(cancelledWait(id, signal));
      signal.addEventListener("abort", onAbort, { once: true });
    });
    return waited.finally(() => {
      this.#deadlines.cancel(deadline);
      this.#remove(id, waiting);
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    });
  }

  #add(id: string, waiting: Waiting): void {
    const others = this.#waiting.get(id);
    if (others === undefined) this.#waiting.set(id, new Set([waiting]));
    else others.add(waiting);
  }

  #remove(id: string, waiting: Waiting): void {
    const all = this.#waiting.get(id);
    all?.delete(waiting);
    if (all?.size === 0) this.#waiting.delete(id);
  }

  #heard(message: Message): void {
    const id = message.metadata.causationId;
    const told = toldBy(message);
    if (id === undefined || told === undefined) return;
    if (told.kind === "progress") {
      for (const { onProgress } of this.#waiting.get(id) ?? []) onProgress?.(told.value);
      return;
    }
    // The first word counts: a task that ran again ended with the first.
    if (this.#known.has(id)) return;
    this.#remember(id, told);
    for (const one of this.#waiting.get(id) ?? []) settle(told, one);
  }

  #remember(id: string, told: Told): void {
    this.#known.set(id, told);
    if (this.#known.size <= MAX_KNOWN) return;
    this.#isWhole = false;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}

function toldBy({ metadata, payload }: Message): Told | undefined {
  const kind = metadata.headers?.[TASK];
  const { value, code, message } = (payload ?? {}) as Partial<Record<"value" | "code" | "message", unknown>>;
  if (kind === "done" || kind === "progress") return { kind, value };
  if (kind !== "failed") return undefined;
  return { kind, code: String(code), message: String(message) };
}

async function outcome(told: Told): Promise<unknown> {
  return new Promise((resolve, reject) => settle(told, { resolve, reject }));
}

function settle(told: Told, { resolve, reject }: Pick<Waiting, "resolve" | "reject">): void {
  if (told.kind !== "failed") resolve(told.value);
  else if (told.code === "CANCELLED") reject(new HeraldError("CANCELLED", told.message));
  else reject(new CommandError(told.code, told.message));
}

/** What is told of a task that was given up on. */
export function failedBy(error: unknown): Told {
  if (isHeraldError(error)) return { kind: "failed", code: error.code, message: error.message };
  return { kind: "failed", code: "HANDLER_FAILED", message: String(error) };
}

function timedOut(id: string): HeraldError {
  const message = `The task '${id}' had not ended when the time to wait for it was up: wait again, or raise timeoutMs.`;
  return new HeraldError("TIMEOUT", message, { details: { id } });
}

function cancelledWait(id: string, signal: AbortSignal): HeraldError {
  return new HeraldError(
    "CANCELLED",
    `Waiting for the task '${id}' was cancelled by its signal; the task goes on.`,
    {
      cause: signal.reason,
    },
  );
}
