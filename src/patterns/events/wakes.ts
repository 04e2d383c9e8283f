import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { EventLog } from "../../core/store.ts";

/** How soon a log is looked at again of which nothing was told. */
const LOOK_MS = 1000;

/** Waits for a log to grow: for what it tells, and for the moment to look by oneself. */
export class Wakes {
  readonly #clock: Clock;
  readonly #unwatch: () => void;
  #isRung = false;
  #wake: (() => void) | undefined;

  /** `concerns`: whether a stream is of interest, asked with every hint. */
  constructor(log: EventLog, clock: Clock, concerns: (stream: string) => boolean) {
    this.#clock = clock;
    this.#unwatch = log.watch((stream) => {
      if (concerns(stream)) this.ring();
    });
  }

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Resolves when there may be something new since the last `wait`. */
  async wait(): Promise<void> {
    let timer: TimerHandle | undefined;
    if (!this.#isRung)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = this.#clock.setTimer(LOOK_MS, resolve);
      });
    timer?.cancel();
    this.#wake = undefined;
    this.#isRung = false;
  }

  close(): void {
    this.#unwatch();
    this.ring();
  }
}
