import type { Clock } from "../core/clock.ts";

/** The waits of a consumer, each with its limit. One pause at a time. */
export class Waits {
  readonly #clock: Clock;
  #isOver = false;
  #endPause: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves after `delayMs`, or when it is {@link end}ed. */
  pause(delayMs: number): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(delayMs, () => this.#endPause?.());
      this.#endPause = () => {
        this.#endPause = undefined;
        timer.cancel();
        resolve();
      };
    });
  }

  /** Resolves when `promise` does, at the latest after a pause of `limitMs`. */
  async pauseUntil(promise: Promise<void>, limitMs: number): Promise<void> {
    await Promise.race([promise, this.pause(limitMs)]);
    this.#endPause?.();
  }

  /** Resolves when `promise` does, at the latest after `limitMs`, whether it is ended or not. */
  within(promise: Promise<void>, limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(limitMs, resolve);
      void promise.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** Ends the pause that runs; later ones end at once. */
  end(): void {
    this.#isOver = true;
    this.#endPause?.();
  }
}
