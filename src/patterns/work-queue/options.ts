import { HeraldError, showValue } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import type { Priority } from "../../core/priority.ts";
import type { RetryOptions } from "../../delivery/retry.ts";

/** How a work queue is kept; the same in every process that uses it. All optional. */
export interface WorkQueueOptions {
  /** The queue's name: the channel its tasks go through. Default `work-queue`. */
  readonly queue?: string;
  /** What its workers share the tasks as. Default: the queue's name. */
  readonly group?: string;
  /** Most tasks that start in each span of time, over all workers of all processes. Default: no limit. */
  readonly rateLimit?: RateLimitOptions;
  /** Keep the result of every task, as if each said so. Default false. */
  readonly keepResult?: boolean;
  /** How long results are kept, milliseconds. Default 3,600,000. */
  readonly resultsKeptMs?: number;
  /** How long a cancel is remembered: longer than any task waits. Milliseconds. Default 604,800,000 (7 days). */
  readonly cancelsKeptMs?: number;
}

/** At most `max` tasks start in each `perMs` milliseconds, counted from the epoch. */
export interface RateLimitOptions {
  readonly max: number;
  readonly perMs: number;
}

/** How one task is enqueued. All optional. */
export interface TaskOptions {
  /** 1 to 128 printable characters; also what the task is awaited and cancelled by. Default: made. */
  readonly id?: string;
  /** 0 (first) to 99, or a name. Default `normal`. Needs the broker ability `priority`. */
  readonly priority?: Priority;
  /** Not started before this many milliseconds have passed. Needs `delay`. */
  readonly delayMs?: number;
  /** Not started after this many seconds; it is then dead-lettered with reason `EXPIRED`. */
  readonly ttlSeconds?: number;
  /** Tasks of one key never run at the same time; those of different keys do. Needs order per key. */
  readonly key?: string;
  /** Keep its result, so that it can be awaited by the task's id. Default: the queue's. */
  readonly keepResult?: boolean;
  /** An id that was enqueued before, within the broker's window, is not enqueued again. Needs `dedupe`. */
  readonly dedupe?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How tasks are processed. All optional. */
export interface ProcessOptions {
  /** Tasks at the same time in this process. Default 1. */
  readonly workers?: number;
  /**
   * Tasks held by this process, running ones included. Default: the workers, and as many that wait for them; a single worker
   * holds only what it does. More is faster for short tasks and unfair for long ones.
   */
  readonly prefetch?: number;
  /** Default: the service's. */
  readonly retry?: RetryOptions;
  /** Default: the service's, which is at-least-once. `exactly-once`: what the handler publishes takes effect once. */
  readonly guarantee?: "at-most-once" | "at-least-once" | "exactly-once";
  /** A task that takes longer has failed. Milliseconds; a wait for the rate limit counts. Default: the service's. */
  readonly timeoutMs?: number;
}

/** What a handler knows of its task, and may do for it. */
export interface TaskContext {
  readonly id: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly message: Message;
  /** Fires when the task is cancelled, its time is up, or the service gives up draining. Its reason is a HeraldError. */
  readonly signal: AbortSignal;
  /** Tells whoever awaits the task how far it is. Nothing happens where its result is not kept. */
  readonly progress: (value: unknown) => Promise<void>;
}

/** Does one task: the task itself first. What it returns is the task's result; a throw means again, by the retry policy. */
export type TaskHandler<T = unknown, R = unknown> = (task: T, context: TaskContext) => R | Promise<R>;

/** A task that was taken by hand. It is nobody else's until it is completed, failed or released. */
export interface TakenTask<T = unknown> extends TaskContext {
  readonly task: T;
  /** Done. Resolves when the broker has been told. */
  complete(result?: unknown): Promise<void>;
  /** Failed: again by the retry policy, or never where the error says so. */
  fail(error: unknown): Promise<void>;
  /** Given back at once, not counted as an attempt. */
  release(): Promise<void>;
}

/** How to take one task by hand. */
export interface DequeueOptions extends Pick<ProcessOptions, "retry" | "guarantee" | "timeoutMs"> {
  /** How long to wait for one, milliseconds. Default 1000. */
  readonly waitMs?: number;
}

/** How to wait for a task's result. */
export interface ResultOptions {
  /** Default 30,000. */
  readonly timeoutMs?: number;
  /** Stops waiting with `CANCELLED`; the task goes on. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (value: unknown) => void;
}

/** `idle`: this process has no workers; `draining`: it starts nothing more and waits for what runs. */
export type QueueState = "idle" | "running" | "paused" | "draining" | "closed";

/** A queue as this process sees it, read without asking the broker. */
export interface QueueStatus {
  readonly queue: string;
  readonly state: QueueState;
  /** Workers of this process. */
  readonly workers: number;
  /** Tasks that run in this process. */
  readonly active: number;
  /** Names of the schedules that this process keeps. */
  readonly schedules: readonly string[];
}

/** What this process did for a queue, since its service was made. */
export interface QueueMetrics {
  readonly enqueued: number;
  /** Attempts that were started. */
  readonly started: number;
  readonly completed: number;
  readonly cancelled: number;
  /** Attempts that failed. */
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly active: number;
  /** Enqueued to completed, milliseconds. */
  readonly avgLatencyMs: number;
  readonly p50LatencyMs: number;
  readonly p99LatencyMs: number;
  /** Completed a second, over the last minute. */
  readonly perSecond: number;
}

/** The queue as the broker sees it, over all processes; null: the technology does not say. */
export interface QueueCounts {
  /** Delayed ones and those that wait for a retry included. */
  readonly waiting: number | null;
  /** Handed out. */
  readonly active: number | null;
}

/** Throws `INVALID_ARGUMENT` naming the field unless the number is whole and 1 or more. */
export function checkWhole(field: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw wrong(field, "a whole number of 1 or more", value);
}

/** The error for an option that is not what it must be. */
export function wrong(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}
