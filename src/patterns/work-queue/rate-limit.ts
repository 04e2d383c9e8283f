import type { Clock } from "../../core/clock.ts";
import { wrong, type RateLimitOptions } from "./options.ts";

/**
 * At most `max` turns in each window of `perMs`, over all processes: a turn is a numbered place of the window, and whoever
 * claims it first at the broker has it.
 */
export class RateLimit {
  readonly #clock: Clock;
  readonly #options: RateLimitOptions;
  /** Resolves to true for the first of all processes that claims a place. */
  readonly #claim: (place: string) => Promise<boolean>;
  #window = -1;
  #next = 0;
  #last: Promise<void> = Promise.resolve();

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(clock: Clock, options: RateLimitOptions, claim: (place: string) => Promise<boolean>) {
    checkRateLimit(options);
    this.#clock = clock;
    this.#options = options;
    this.#claim = claim;
  }

  /** Resolves when one more may start. Turns are given in the order in which they were asked for. */
  turn(): Promise<void> {
    const turn = this.#last.then(() => this.#take());
    // One that could not be had must not hold up the others.
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #take(): Promise<void> {
    const { max, perMs } = this.#options;
    for (;;) {
      const window = Math.floor(this.#clock.now() / perMs);
      if (window !== this.#window) {
        this.#window = window;
        this.#next = 0;
      }
      if (this.#next < max) {
        if (await this.#claim(`${window}.${this.#next++}`)) return;
      } else await this.#sleep((window + 1) * perMs - this.#clock.now());
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.setTimer(Math.max(1, ms), resolve));
  }
}

/** Throws `INVALID_ARGUMENT` naming the field. */
export function checkRateLimit({ max, perMs }: RateLimitOptions): void {
  if (!Number.isInteger(max) || max < 1) throw wrong("rateLimit.max", "a whole number of 1 or more", max);
  if (!(perMs > 0)) throw wrong("rateLimit.perMs", "a number above 0", perMs);
}
