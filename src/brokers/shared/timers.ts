import { Deadlines } from "../../core/deadlines.ts";
import type { Clock } from "../../core/clock.ts";

/** Something that runs later, unless it is cancelled. */
export interface Later {
  cancel(): void;
}

/** Everything that a broker does later, on one timer. */
export class Timers {
  readonly clock: Clock;
  readonly #deadlines: Deadlines<() => void>;

  constructor(clock: Clock) {
    this.clock = clock;
    this.#deadlines = new Deadlines(clock, (task) => task());
  }

  /** Calls back after `delayMs`. */
  after(delayMs: number, task: () => void): Later {
    const deadline = this.#deadlines.add(delayMs, task);
    return { cancel: () => this.#deadlines.cancel(deadline) };
  }

  /** Resolves after `delayMs`, or at once when it is cut short. */
  pause(delayMs: number): { readonly over: Promise<void>; readonly cut: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const later = this.after(delayMs, resolve);
    const cut = (): void => {
      later.cancel();
      resolve();
    };
    return { over: promise, cut };
  }

  /** Milliseconds that never go back. */
  monotonic(): number {
    return this.clock.monotonic();
  }

  /** Forgets everything. */
  clear(): void {
    this.#deadlines.clear();
  }
}
