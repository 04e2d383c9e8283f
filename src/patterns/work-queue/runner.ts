import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit, EVENTS } from "../../core/events.ts";
import type { Message } from "../../core/message.ts";
import type { Handler, HandlerContext } from "../../core/middleware.ts";
import type { Messaging } from "../messaging.ts";
import type { Cancellations } from "./cancellations.ts";
import type { TaskHandler } from "./options.ts";
import type { RateLimit } from "./rate-limit.ts";
import { failedBy, type About, type Results, type Told } from "./results.ts";
import { keepsResult, RunningTask } from "./task.ts";

/** What running tasks needs. */
export interface RunnerOptions {
  readonly messaging: Messaging;
  readonly queue: string;
  readonly group: string;
  readonly results: Results;
  readonly cancellations: Cancellations;
  /** Undefined: no limit. Made when first asked for, because the broker must be open. */
  readonly limit: () => RateLimit | undefined;
}

interface DeadLettered {
  readonly agent: string;
  readonly group: string | null;
  readonly envelope: Envelope;
  readonly error: unknown;
}

/** Runs the tasks of one queue in this process: not those that are cancelled, not faster than allowed, and tells what came of each. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Map<string, RunningTask>();
  readonly #telling = new Set<Promise<void>>();
  #isListening = false;
  #cancelled = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Tasks that run now. */
  get active(): number {
    return this.#running.size;
  }

  /** Tasks that were cancelled before or while they ran here. */
  get cancelled(): number {
    return this.#cancelled;
  }

  /** Hears of cancels and of tasks that are given up on. Idempotent. */
  async start(): Promise<void> {
    if (this.#isListening) return;
    this.#isListening = true;
    EVENTS.deadLettered.subscribe(this.#onDeadLetter);
    await this.#options.cancellations.follow((id) => this.#running.get(id)?.cancel(cancelledTask(id)));
  }

  /** Waits for what is still to be told. */
  async close(): Promise<void> {
    await Promise.all(this.#telling);
    EVENTS.deadLettered.unsubscribe(this.#onDeadLetter);
    await this.#options.cancellations.close();
    this.#isListening = false;
  }

  /** What a subscription calls for each task. */
  handlerOf(handler: TaskHandler<never>): Handler {
    const limit = this.#options.limit();
    if (limit === undefined) return (message, context) => this.#run(message, context, handler);
    return async (message, context) => {
      if (!this.#options.cancellations.has(message.id)) await limit.turn();
      // It may have lost its time, or its service, while it waited.
      context.signal.throwIfAborted();
      return this.#run(message, context, handler);
    };
  }

  async #run(message: Message, context: HandlerContext, handler: TaskHandler<never>): Promise<unknown> {
    const { cancellations, results } = this.#options;
    if (cancellations.has(message.id)) return this.#endCancelled(message);
    const task = new RunningTask(message, context, results);
    this.#running.set(message.id, task);
    try {
      const result = await handler(message.payload as never, task);
      if (keepsResult(message.metadata.headers))
        await results.tell(message, { kind: "done", value: result ?? null });
      return result;
    } catch (error) {
      if (task.cancelledBy === undefined) throw error;
      return await this.#endCancelled(message);
    } finally {
      if (this.#running.get(message.id) === task) this.#running.delete(message.id);
    }
  }

  /** Handled: nobody tries it again. */
  async #endCancelled(message: Message): Promise<void> {
    this.#cancelled++;
    if (keepsResult(message.metadata.headers))
      await this.#options.results.tell(message, failedBy(cancelledTask(message.id)));
  }

  readonly #onDeadLetter = (event: unknown): void => {
    const { messaging, queue, group } = this.#options;
    const given = event as DeadLettered;
    const { envelope } = given;
    if (given.agent !== messaging.agentId || given.group !== group || envelope.channel !== queue) return;
    if (!keepsResult(envelope.headers)) return;
    const { id, correlationId } = envelope;
    const about = { id, metadata: correlationId === undefined ? {} : { correlationId } };
    const telling = this.#tell(about, failedBy(given.error)).finally(() => this.#telling.delete(telling));
    this.#telling.add(telling);
  };

  /** Nobody waits for this; who waits for the task hears nothing and runs into its time limit. */
  async #tell(about: About, told: Told): Promise<void> {
    try {
      await this.#options.results.tell(about, told);
    } catch (error) {
      const { agentId } = this.#options.messaging;
      emit("fault", () => ({ agent: agentId, error: toHeraldError(error), where: "task-result" }));
    }
  }
}

function cancelledTask(id: string): HeraldError {
  return new HeraldError("CANCELLED", `The task '${id}' was cancelled.`, { details: { id } });
}
