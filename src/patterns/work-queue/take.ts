import { SnoozeError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import type { Handler } from "../../core/middleware.ts";
import type { Listening, Messaging } from "../messaging.ts";
import type { DequeueOptions, ProcessOptions, TakenTask, TaskContext, TaskHandler } from "./options.ts";
import type { ListenOptions } from "../messaging.ts";

/** What taking tasks by hand needs. */
export interface TakeOptions {
  readonly messaging: Messaging;
  readonly queue: string;
  readonly group: string;
  readonly handlerOf: (handler: TaskHandler<never>) => Handler;
}

const WAIT_MS = 1000;

/** A task in the hands of whoever asked for it: its handler ends when that one says so. */
class Taken<T> implements TakenTask<T> {
  readonly task: T;
  /** What the task comes to. */
  readonly ended: Promise<unknown>;
  readonly #context: TaskContext;
  readonly #end: PromiseWithResolvers<unknown> = Promise.withResolvers();
  readonly #settled: () => Promise<void>;

  constructor(task: T, context: TaskContext, settled: () => Promise<void>) {
    this.task = task;
    this.#context = context;
    this.#settled = settled;
    this.ended = this.#end.promise;
  }

  get id(): string {
    return this.#context.id;
  }

  get attempt(): number {
    return this.#context.attempt;
  }

  get message(): Message {
    return this.#context.message;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  progress(value: unknown): Promise<void> {
    return this.#context.progress(value);
  }

  complete(result?: unknown): Promise<void> {
    this.#end.resolve(result);
    return this.#settled();
  }

  fail(error: unknown): Promise<void> {
    this.#end.reject(error ?? new Error("The task failed."));
    return this.#settled();
  }

  release(): Promise<void> {
    return this.fail(new SnoozeError(0));
  }
}

/** Takes one task; undefined when none came in time. The subscription behind it ends with the task. */
export async function takeOne<T>(
  options: TakeOptions,
  { waitMs = WAIT_MS, ...how }: DequeueOptions,
): Promise<TakenTask<T> | undefined> {
  const { messaging, queue, group } = options;
  const taken = Promise.withResolvers<TakenTask<T> | undefined>();
  let isOver = false;
  let listening: Listening | undefined;
  // Asks for no second task, and resolves when the first has been settled.
  const leave = (): Promise<void> => listening?.unsubscribe({ gracePeriodMs: Infinity }) ?? Promise.resolve();
  const handler = options.handlerOf((task: T, context: TaskContext) => {
    // One that came when nobody waited any more, or beside the one that was taken.
    if (isOver) throw new SnoozeError(0);
    isOver = true;
    const one = new Taken(task, context, leave);
    taken.resolve(one);
    return one.ended;
  });
  listening = await messaging.subscribe(queue, handler, {
    ...listenOptions(group, how),
    maxConcurrency: 1,
    prefetch: 1,
  });
  const timer = messaging.clock.setTimer(waitMs, () => {
    if (isOver) return;
    isOver = true;
    taken.resolve(undefined);
  });
  const result = await taken.promise;
  timer.cancel();
  if (result === undefined) await leave();
  return result;
}

/** How tasks are subscribed, whoever does them. */
export function listenOptions(
  group: string,
  { retry, guarantee, timeoutMs }: Pick<ProcessOptions, "retry" | "guarantee" | "timeoutMs">,
): ListenOptions {
  return {
    group,
    ordering: "relaxed",
    ack: "auto",
    // A task that is never started must be found somewhere.
    expiredToDlq: true,
    ...(retry === undefined ? {} : { retry }),
    ...(guarantee === undefined ? {} : { guarantee }),
    ...(timeoutMs === undefined ? {} : { handlerTimeoutMs: timeoutMs }),
  };
}
