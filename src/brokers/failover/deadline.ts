import { Deadlines } from "../../core/deadlines.ts";
import type { Clock } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";

/** Calls with a time limit, all on one timer. */
export class TimeLimits {
  readonly #deadlines: Deadlines<() => void>;

  constructor(clock: Clock) {
    this.#deadlines = new Deadlines(clock, (expire) => expire());
  }

  /** As `promise`; rejects with `TIMEOUT` after `limitMs`. What it comes to later is of no interest. */
  within<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const deadline = this.#deadlines.add(limitMs, () => reject(late(what, limitMs)));
      promise.then(
        (value) => {
          this.#deadlines.cancel(deadline);
          resolve(value);
        },
        (error: unknown) => {
          this.#deadlines.cancel(deadline);
          reject(error);
        },
      );
    });
  }

  /** Calls back after `delayMs`, unless it is cancelled. */
  after(delayMs: number, task: () => void): { cancel(): void } {
    const deadline = this.#deadlines.add(delayMs, task);
    return { cancel: () => this.#deadlines.cancel(deadline) };
  }

  /** Forgets every limit. */
  clear(): void {
    this.#deadlines.clear();
  }
}

function late(what: string, limitMs: number): HeraldError {
  const message = `The primary has not answered ${what} within ${limitMs} ms; whether it took effect is unknown. It is tried again.`;
  return new HeraldError("TIMEOUT", message, { details: { limitMs } });
}
