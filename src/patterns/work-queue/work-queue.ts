/// <reference lib="esnext.disposable" preserve="true" />
import { createHash } from "node:crypto";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import type { PublishOptions } from "../../core/message.ts";
import { checkChannel } from "../../core/pattern.ts";
import { ready, release, type Link, type Listening } from "../messaging.ts";
import { once } from "../../core/once.ts";
import { Cancellations } from "./cancellations.ts";
import { countsOf, metricsOf } from "./figures.ts";
import { idsOf } from "./batch.ts";
import {
  checkWhole,
  wrong,
  type DequeueOptions,
  type ProcessOptions,
  type QueueCounts,
  type QueueMetrics,
  type QueueState,
  type QueueStatus,
  type ResultOptions,
  type TakenTask,
  type TaskHandler,
  type TaskOptions,
  type WorkQueueOptions,
} from "./options.ts";
import { checkRateLimit, RateLimit } from "./rate-limit.ts";
import { Results } from "./results.ts";
import { Runner } from "./runner.ts";
import { Schedules, type RepeatOptions, type Repetition, type Schedule } from "./schedules.ts";
import { listenOptions, takeOne } from "./take.ts";
import { KEEP_RESULT } from "./task.ts";

const RESULTS_KEPT_MS = 3_600_000;
const CANCELS_KEPT_MS = 7 * 86_400_000;

/**
 * Tasks that are shared by the workers of any number of processes: each is done by one of them, and by another one when
 * that fails or dies. Delivery, retry, dead letters and order are the service's; this adds what is a queue's own.
 */
export class WorkQueue<T = unknown, R = unknown> implements AsyncDisposable {
  readonly queue: string;
  readonly #link: Link;
  readonly #options: WorkQueueOptions;
  readonly #group: string;
  readonly #results: Results;
  readonly #cancellations: Cancellations;
  readonly #runner: Runner;
  readonly #schedules: Schedules;
  /** Resolves once what is enqueued waits for the workers, also where there are none yet. */
  readonly #open: () => Promise<void>;
  #isOpen = false;
  #limit: RateLimit | undefined;
  #state: QueueState = "idle";
  #workers = 0;
  #listening: Listening | undefined;

  /** Throws `INVALID_ARGUMENT` or `INVALID_CHANNEL` naming the field. */
  constructor(link: Link, options: WorkQueueOptions = {}) {
    const { queue = "work-queue", group = queue, rateLimit } = options;
    checkChannel(queue);
    if (rateLimit !== undefined) checkRateLimit(rateLimit);
    this.queue = queue;
    this.#link = link;
    this.#options = options;
    this.#group = group;
    const { messaging } = link;
    this.#results = new Results(messaging, `${queue}.results`, options.resultsKeptMs ?? RESULTS_KEPT_MS);
    const keptMs = options.cancelsKeptMs ?? CANCELS_KEPT_MS;
    this.#cancellations = new Cancellations(messaging, `${queue}.control`, keptMs);
    this.#runner = new Runner({
      messaging,
      queue,
      group,
      results: this.#results,
      cancellations: this.#cancellations,
      limit: () => this.#rateLimit(),
    });
    this.#schedules = new Schedules(messaging, queue);
    this.#open = once(async () => {
      await ready(link);
      await messaging.broker.ensureGroup(queue, group);
      this.#isOpen = true;
    });
  }

  /**
   * Resolves with the task's id once the broker has it at its durability. Rejects as `MessagingService.publish` does, and
   * with `UNSUPPORTED` where the broker cannot do what the options ask for.
   */
  enqueue(task: T, options?: TaskOptions): Promise<string> {
    if (!this.#isOpen) return this.#opened().then(() => this.#enqueue(task, options));
    try {
      return this.#enqueue(task, options);
    } catch (error) {
      return Promise.reject(toHeraldError(error));
    }
  }

  /**
   * Enqueues many, all with the same options; resolves with their ids. When some could not be enqueued it rejects with the
   * first error's code, and `details` says of each task what became of it: `{ ids, failed: [{ index, code, message }] }`.
   */
  async enqueueBatch(tasks: readonly T[], options?: Omit<TaskOptions, "id">): Promise<readonly string[]> {
    if (!Array.isArray(tasks)) throw wrong("tasks", "an array", tasks);
    await this.#opened();
    return idsOf(await Promise.allSettled(tasks.map((task: T) => this.enqueue(task, options))));
  }

  /** Enqueues a task whose result is kept, and resolves with that result. Rejects as {@link enqueue} and {@link result} do. */
  async run(task: T, options: TaskOptions & ResultOptions = {}): Promise<R> {
    const { timeoutMs, signal, onProgress, ...taskOptions } = options;
    const id = options.id ?? createId(this.#link.messaging.clock.now());
    await this.#opened();
    await this.#results.follow();
    // Waited for before it is enqueued: what it tells first must be heard.
    const refused = new AbortController();
    const result = this.#results.wait(id, {
      signal: signal === undefined ? refused.signal : AbortSignal.any([signal, refused.signal]),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    result.catch(() => undefined);
    try {
      await this.enqueue(task, { ...taskOptions, id, keepResult: true });
    } catch (error) {
      refused.abort(error);
      throw error;
    }
    return (await result) as R;
  }

  /**
   * Resolves with the result of a task whose result is kept, whichever process enqueued or did it, and also when it ended
   * before. Rejects with CommandError (it was given up on; `code` is its error's), `CANCELLED`, `TIMEOUT`, `UNSUPPORTED`, `CLOSED`.
   */
  async result(id: string, options: ResultOptions = {}): Promise<R> {
    await this.#opened();
    return (await this.#results.wait(id, options)) as R;
  }

  /**
   * From the moment its workers hear of it no worker starts this task, and one that does it is told by its `signal`: the task
   * is then neither tried again nor dead-lettered, unless it succeeds all the same. Resolves once the broker has the cancel;
   * an id that nobody knows is no error. Rejects with `UNSUPPORTED` where workers could not learn of it.
   */
  async cancel(id: string): Promise<void> {
    await this.#opened();
    await this.#cancellations.cancel(id);
  }

  /**
   * Starts workers in this process; resolves once they are ready. Rejects with `ALREADY_EXISTS` when there are some,
   * `INVALID_ARGUMENT`, `UNSUPPORTED`, `CLOSED`.
   */
  async process(handler: TaskHandler<T, R>, options: ProcessOptions = {}): Promise<void> {
    const { workers = 1 } = options;
    checkWhole("workers", workers);
    if (typeof handler !== "function") throw wrong("handler", "a function", handler);
    if (this.#state !== "idle") throw this.#hasWorkers();
    this.#state = "running";
    this.#workers = workers;
    try {
      await this.#opened();
      await this.#runner.start();
      this.#listening = await this.#link.messaging.subscribe(this.queue, this.#runner.handlerOf(handler), {
        ...listenOptions(this.#group, options),
        maxConcurrency: workers,
        prefetch: options.prefetch ?? (workers === 1 ? 1 : 2 * workers),
      });
    } catch (error) {
      this.#state = "idle";
      this.#workers = 0;
      throw error;
    }
  }

  /**
   * Takes one task by hand; resolves with undefined when none came within `waitMs`. A task that is neither completed, failed
   * nor released comes back when its time is up or this process ends.
   */
  async dequeue(options: DequeueOptions = {}): Promise<TakenTask<T> | undefined> {
    await this.#opened();
    await this.#runner.start();
    const { messaging } = this.#link;
    return takeOne<T>(
      {
        messaging,
        queue: this.queue,
        group: this.#group,
        handlerOf: (handler) => this.#runner.handlerOf(handler),
      },
      options,
    );
  }

  /** This process starts nothing more; what runs goes on, what was fetched goes back. Other processes work on. Idempotent. */
  async pause(): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "paused";
    this.#listening?.pause();
  }

  /** Goes on after {@link pause}. Idempotent. */
  async resume(): Promise<void> {
    if (this.#state !== "paused") return;
    this.#state = "running";
    this.#listening?.resume();
  }

  /**
   * The workers of this process start nothing more, and it resolves when those that run have ended, however long they take;
   * after `graceMs`, if given, they are aborted and their tasks go back. Afterwards {@link process} may start others.
   */
  async drain(options: { readonly graceMs?: number } = {}): Promise<void> {
    const listening = this.#listening;
    if (listening === undefined) return;
    this.#listening = undefined;
    this.#state = "draining";
    await listening.unsubscribe({ gracePeriodMs: options.graceMs ?? Infinity });
    this.#workers = 0;
    this.#state = "idle";
  }

  /**
   * Forgets every task that waits; resolves with how many the channel held. What runs goes on. Nobody is told: who awaits such
   * a task runs into the time limit. Rejects with `UNSUPPORTED` where the broker cannot empty a channel.
   */
  async clear(): Promise<number> {
    await this.#opened();
    const { admin, name } = this.#link.messaging.broker;
    if (admin !== undefined) return admin.purge(this.queue);
    throw new HeraldError("UNSUPPORTED", `The broker '${name}' cannot empty the channel '${this.queue}'.`, {
      details: { broker: name, ability: "admin", channel: this.queue },
    });
  }

  /**
   * Enqueues a task at each moment of a schedule, once however many processes keep the same one under the same name. It is
   * kept by the processes that live: nothing is enqueued while there is none (see `catchUpMs`). Rejects with `UNSUPPORTED`
   * where the broker does not recognise ids, or without the package `croner`; `ALREADY_EXISTS` for a name that is kept here.
   */
  async repeat(name: string, when: Schedule, task: T, options: RepeatOptions = {}): Promise<Repetition> {
    await this.#opened();
    const { catchUpMs = 0, ...taskOptions } = options;
    const enqueue = (about: TaskOptions): Promise<string> =>
      this.#enqueue(task, { ...taskOptions, ...about });
    return this.#schedules.keep(name, when, { catchUpMs, headers: taskOptions.headers, enqueue });
  }

  /** Ends a schedule in this process; `NOT_FOUND` when it is not kept here. */
  async stopRepeat(name: string): Promise<void> {
    this.#schedules.stop(name);
  }

  /** This process's view, without asking the broker; see {@link getCounts} for all processes. */
  getStatus(): QueueStatus {
    const { active } = this.#runner;
    return {
      queue: this.queue,
      state: this.#state,
      workers: this.#workers,
      active,
      schedules: this.#schedules.names,
    };
  }

  /** What this process did, since its service was made. Synchronous and cheap. */
  getMetrics(): QueueMetrics {
    return metricsOf(this.#link.messaging, this.queue, { group: this.#group, runner: this.#runner });
  }

  /** How many tasks wait and run, over all processes, as the broker says. */
  async getCounts(): Promise<QueueCounts> {
    await this.#opened();
    return countsOf(this.#link.messaging, this.queue, this.#group);
  }

  /**
   * Ends this process's schedules, waits and workers; running tasks have the service's grace period, then go back. Nothing
   * is lost: what waits is done by others. The service itself is stopped only where it is the queue's own. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#schedules.close();
    const listening = this.#listening;
    this.#listening = undefined;
    this.#state = "closed";
    await listening?.unsubscribe();
    await this.#runner.close();
    await this.#results.close();
    await release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #opened(): Promise<void> {
    // Else a queue with a service of its own would start it again.
    if (this.#state === "closed") throw closed(this.queue);
    await this.#open();
  }

  #enqueue(task: T, options: TaskOptions | undefined): Promise<string> {
    if (this.#state === "closed") throw closed(this.queue);
    const { messaging } = this.#link;
    if (options === undefined && this.#options.keepResult !== true)
      return messaging.publish(this.queue, task);
    return messaging.publish(this.queue, task, this.#publishOptions(options ?? {}));
  }

  #publishOptions({ key, keepResult, headers, ...options }: TaskOptions): PublishOptions {
    if (key !== undefined) this.#link.messaging.broker.require("ordering", this.queue, "tasks with a key");
    const isKept = keepResult ?? this.#options.keepResult ?? false;
    if (isKept) this.#results.require();
    const kept = isKept ? { ...headers, [KEEP_RESULT]: "1" } : headers;
    return {
      ...options,
      ...(key === undefined ? {} : { partitionKey: key }),
      ...(kept === undefined ? {} : { headers: kept }),
    };
  }

  /** The limit needs the broker, which is open by now. */
  #rateLimit(): RateLimit | undefined {
    const { rateLimit } = this.#options;
    if (rateLimit === undefined) return undefined;
    const { broker, clock } = this.#link.messaging;
    broker.require("dedupe", this.queue, "a rate limit");
    // Places are told apart by the broker, which may know the ids of all its channels together.
    const name = createHash("sha256").update(this.queue).digest("hex").slice(0, 16);
    const ttlSeconds = (2 * rateLimit.perMs) / 1000;
    const claim = (place: string): Promise<boolean> =>
      broker.isFirst(`${this.queue}.turns`, `turn.${name}.${place}`, ttlSeconds);
    this.#limit ??= new RateLimit(clock, rateLimit, claim);
    return this.#limit;
  }

  #hasWorkers(): HeraldError {
    if (this.#state === "closed") return closed(this.queue);
    const message = `The queue '${this.queue}' has workers in this process already: ask for more of them with workers, or drain() first.`;
    return new HeraldError("ALREADY_EXISTS", message, { details: { queue: this.queue, state: this.#state } });
  }
}

function closed(queue: string): HeraldError {
  return new HeraldError("CLOSED", `The queue '${queue}' is closed in this process: make another WorkQueue.`);
}
