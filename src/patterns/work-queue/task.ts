import type { HeraldError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import type { HandlerContext } from "../../core/middleware.ts";
import type { TaskContext } from "./options.ts";
import type { Results } from "./results.ts";

/** Header of a task whose result is kept. */
export const KEEP_RESULT = "x-task-keep";

/** Will anybody be able to ask for this task's result? */
export function keepsResult(headers: Readonly<Record<string, string>> | undefined): boolean {
  return headers?.[KEEP_RESULT] !== undefined;
}

/** One run of a task in this process. */
export class RunningTask implements TaskContext {
  readonly message: Message;
  /** Set when the task was cancelled while it ran. */
  cancelledBy: HeraldError | undefined;
  readonly #context: HandlerContext;
  readonly #results: Results;
  #cancelling: AbortController | undefined;
  #signal: AbortSignal | undefined;

  constructor(message: Message, context: HandlerContext, results: Results) {
    this.message = message;
    this.#context = context;
    this.#results = results;
  }

  get id(): string {
    return this.message.id;
  }

  get attempt(): number {
    return this.#context.attempt;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      this.#cancelling = new AbortController();
      if (this.cancelledBy !== undefined) this.#cancelling.abort(this.cancelledBy);
      this.#signal = AbortSignal.any([this.#context.signal, this.#cancelling.signal]);
    }
    return this.#signal;
  }

  /** A function of its own: handlers take it out of the context. */
  get progress(): (value: unknown) => Promise<void> {
    return async (value) => {
      if (keepsResult(this.message.metadata.headers))
        await this.#results.tell(this.message, { kind: "progress", value });
    };
  }

  cancel(reason: HeraldError): void {
    this.cancelledBy = reason;
    this.#cancelling?.abort(reason);
  }
}
