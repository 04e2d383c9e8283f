import type { Clock } from "../core/clock.ts";
import { systemClock } from "../core/clock.ts";
import { HeraldError, isHeraldError } from "../core/errors.ts";
import type { RetryPolicy } from "../delivery/retry.ts";
import { policyOf, type RequestRetryOptions } from "./conversation.ts";
import { keepAlive, pause } from "./pause.ts";

/** What one run of {@link RetryHandler.retry} may be told. All optional. */
export interface RetryContext {
  /** Ends a wait, and with it the run: the last error is thrown. */
  readonly signal?: AbortSignal;
  /** Told of every failure that is tried again. `attempt`: 1 for the first. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

/**
 * Tries something again that failed, by the policy of messages. It waits in this process: for what a message asks for, throw
 * in the handler instead, whose retry holds no slot and survives a crash.
 */
export class RetryHandler {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  #attempt = 0;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(options: RequestRetryOptions, clock: Clock = systemClock) {
    this.#policy = policyOf(options);
    this.#clock = clock;
  }

  /**
   * Runs an operation until it succeeds. Rejects with its last error after as many attempts as are allowed, or at once with
   * one that trying again cannot help.
   */
  async retry(operation: () => Promise<void>, context: RetryContext = {}): Promise<void> {
    if (typeof operation !== "function") {
      const details = { field: "operation" };
      throw new HeraldError("INVALID_ARGUMENT", "operation must be a function.", { details });
    }
    this.reset();
    for (;;) {
      this.#attempt++;
      try {
        await operation();
        return;
      } catch (error) {
        const delayMs = this.#policy.delayAfter(this.#attempt);
        const isHopeless = isHeraldError(error) && !error.retryable;
        if (delayMs === undefined || isHopeless || isOver(context)) throw error;
        context.onRetry?.(error, this.#attempt, delayMs);
        await keepAlive(pause(this.#clock, delayMs, [context.signal]));
        if (isOver(context)) throw error;
      }
    }
  }

  /** Milliseconds to wait after attempt `attempt` (1 for the first); 0 after the last, which nothing follows. */
  calculateDelay(attempt: number): number {
    return this.#policy.delayAfter(attempt) ?? 0;
  }

  /** The attempt that runs or ran last, 1 for the first; 0 before any. */
  getCurrentAttempt(): number {
    return this.#attempt;
  }

  /** Forgets the attempts. */
  reset(): void {
    this.#attempt = 0;
  }
}

function isOver({ signal }: RetryContext): boolean {
  return signal?.aborted === true;
}
