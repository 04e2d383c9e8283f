import type { Clock, TimerHandle } from "../../core/clock.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import type { Next } from "./schedule.ts";

/** A schedule that this process keeps. */
export interface Repetition {
  readonly name: string;
  /** The next moment, epoch milliseconds; undefined: there is none. */
  readonly nextAt: number | undefined;
  /** Ends it in this process. What is enqueued already stays. */
  stop(): void;
}

/** How a schedule is kept. */
export interface KeepOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly next: Next;
  /** Moments of the last so many milliseconds are enqueued too. */
  readonly catchUpMs: number;
  /** Enqueues the task of one moment; called again when it fails. */
  readonly enqueue: (at: number) => Promise<unknown>;
  readonly onFault: (error: HeraldError) => void;
}

/** Looked at again after this long: the wall clock may have been set. */
const LOOK_MS = 60_000;
const FIRST_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 30_000;

/** Enqueues a task at each moment of a schedule for as long as this process lives. Moments whose enqueuing fails come again, in order. */
export class KeptSchedule implements Repetition {
  readonly name: string;
  readonly #options: KeepOptions;
  #nextAt: number | undefined;
  #timer: TimerHandle | undefined;
  #backoffMs = FIRST_BACKOFF_MS;
  #isOver = false;

  constructor(options: KeepOptions) {
    this.#options = options;
    this.name = options.name;
    this.#nextAt = options.next(options.clock.now() - options.catchUpMs);
    this.#arm(0);
  }

  get nextAt(): number | undefined {
    return this.#isOver ? undefined : this.#nextAt;
  }

  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  #arm(leastMs: number): void {
    if (this.#isOver || this.#nextAt === undefined) return;
    const { clock } = this.#options;
    const waitMs = Math.max(leastMs, Math.min(LOOK_MS, this.#nextAt - clock.now()));
    this.#timer = clock.setTimer(waitMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { clock, next, enqueue, onFault } = this.#options;
    try {
      while (!this.#isOver && this.#nextAt !== undefined && this.#nextAt <= clock.now()) {
        await enqueue(this.#nextAt);
        this.#nextAt = next(this.#nextAt);
      }
      this.#backoffMs = FIRST_BACKOFF_MS;
      this.#arm(0);
    } catch (error) {
      if (this.#isOver) return;
      onFault(toHeraldError(error));
      this.#arm(this.#backoffMs);
      this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2);
    }
  }
}
