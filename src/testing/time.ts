import { systemClock, type Clock } from "../core/clock.ts";
import { FakeClock, settlePromises } from "./fake-clock.ts";

/** Time as a test uses it: the machine's, which is waited for, or a fake clock's, which is stepped. */
export interface TestTime {
  readonly clock: Clock;
  readonly isStepped: boolean;
  /** How long something that must come is waited for, unless said otherwise. */
  readonly patienceMs: number;
  /** Lets `ms` pass. */
  elapse(ms: number): Promise<void>;
  /** Resolves with what the promise resolves to, letting as much time pass as that takes. */
  drive<T>(promise: Promise<T>): Promise<T>;
  /** Resolves once `condition` holds. Rejects after `withinMs`, `patienceMs` unless said otherwise, with an error that names `what` was waited for. */
  until(
    condition: () => boolean | Promise<boolean>,
    what: string | (() => string),
    withinMs?: number,
  ): Promise<void>;
}

const PATIENCE_MS = 10_000;
// Rounds of promises that a condition gets before time moves on.
const ROUNDS = 8;
const POLL_MS = 2;

/** The machine's time. Conditions are looked at again after every turn of the event loop, then every few milliseconds. */
export class RealTime implements TestTime {
  readonly clock = systemClock;
  readonly isStepped = false;
  readonly patienceMs: number;

  constructor(options: { readonly patienceMs?: number } = {}) {
    this.patienceMs = options.patienceMs ?? PATIENCE_MS;
  }

  elapse(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  drive<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  async until(
    condition: () => boolean | Promise<boolean>,
    what: string | (() => string),
    withinMs: number = this.patienceMs,
  ): Promise<void> {
    const endsAt = this.clock.monotonic() + withinMs;
    for (let round = 0; !(await condition()); round++) {
      if (this.clock.monotonic() > endsAt) throw timedOut(what, withinMs);
      if (round < ROUNDS) await settlePromises();
      else await this.elapse(POLL_MS);
    }
  }
}

/** A fake clock's time. It moves from timer to timer, so that nothing is waited for and nothing is jumped over. */
export class SteppedTime implements TestTime {
  readonly clock: FakeClock;
  readonly isStepped = true;
  /** Stepped time costs nothing. */
  readonly patienceMs = 10 * PATIENCE_MS;

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  elapse(ms: number): Promise<void> {
    return this.clock.advanceAsync(ms);
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = () => void (isDone = true);
    promise.then(done, done);
    await this.until(() => isDone, "a promise to be settled", Infinity);
    return promise;
  }

  async until(
    condition: () => boolean | Promise<boolean>,
    what: string | (() => string),
    withinMs: number = this.patienceMs,
  ): Promise<void> {
    const endsAt = this.clock.monotonic() + withinMs;
    while (!(await this.#settlesInto(condition))) {
      const leftMs = endsAt - this.clock.monotonic();
      const { nextDueMs } = this.clock;
      if (leftMs <= 0 || nextDueMs === undefined || nextDueMs > leftMs) throw timedOut(what, withinMs);
      await this.clock.advanceAsync(nextDueMs);
    }
  }

  async #settlesInto(condition: () => boolean | Promise<boolean>): Promise<boolean> {
    for (let round = 0; round < ROUNDS; round++) {
      if (await condition()) return true;
      await settlePromises();
    }
    return condition();
  }
}

function timedOut(what: string | (() => string), withinMs: number): Error {
  return new Error(
    `Waited ${withinMs} ms for ${typeof what === "string" ? what : what()}, and it did not come.`,
  );
}
