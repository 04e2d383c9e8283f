import type { Breaker } from "../core/breaker.ts";
import { HeraldError } from "../core/errors.ts";
import type { Outcome } from "../core/outcome.ts";

/**
 * The breaker before one subscription's handler. While it is open the consumer asks for nothing, so that messages wait at the
 * broker, or go to other processes; then it asks for one at a time. What fails while it is not closed, and what opened it, goes
 * back uncounted: no message is given up on because of what its handler needs.
 */
export class HandlerBreaker {
  readonly #breaker: Breaker;
  /** At-most-once: what was taken is acknowledged, and must run. */
  readonly #ackFirst: boolean;
  #wake: (() => void) | undefined;

  constructor(breaker: Breaker, ackFirst: boolean) {
    this.#breaker = breaker;
    this.#ackFirst = ackFirst;
  }

  /** True: ask for nothing now. */
  get isHeld(): boolean {
    return this.#breaker.state !== "closed" && (this.#breaker.isProbing || this.#breaker.waitMs > 0);
  }

  /** How many to ask for, of so many that there is room for: one, to see whether it works again. */
  limit(room: number): number {
    return this.#breaker.state === "closed" ? room : 1;
  }

  /** May a delivery start? */
  admit(): boolean {
    return this.#breaker.admit() || this.#ackFirst;
  }

  /** Resolves when it may have become another one. `pause` waits for so many milliseconds, at most. */
  wait(pause: (delayMs: number) => Promise<void>): Promise<void> {
    if (!this.#breaker.isProbing) return pause(this.#breaker.waitMs);
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** Ends a wait. */
  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The outcome as it is settled. */
  judge(outcome: Outcome): Outcome {
    const error = failureOf(outcome);
    if (error !== undefined) this.#breaker.failed(error);
    else if (outcome.kind === "handled") this.#breaker.succeeded();
    else this.#breaker.undecided();
    this.wake();
    if (error === undefined || this.#breaker.state === "closed" || this.#ackFirst) return outcome;
    // Behind the others: if it is this message that cannot be handled, the next probe is another one.
    return { kind: "snoozed", delayMs: 2 * this.#breaker.waitMs, error };
  }
}

/** A message that is refused for good says nothing of what its handler needs. */
function failureOf(outcome: Outcome): HeraldError | undefined {
  if (outcome.kind === "failed") return outcome.error;
  return outcome.kind === "nacked"
    ? new HeraldError("HANDLER_FAILED", "The handler gave the message back.")
    : undefined;
}
