import type { Clock, TimerHandle } from "../core/clock.ts";

interface FakeTimer {
  readonly dueAt: number;
  readonly task: () => void;
}

/** Where a fake clock starts and how far it lets promises run. */
export interface FakeClockOptions {
  /** Epoch milliseconds of the first `now()`. Default 2026-01-01T00:00:00Z. */
  readonly startAt?: number;
}

// How many turns of the event loop let every chain of promises that needs no timer come to rest.
const SETTLE_TURNS = 4;

/** Time that stands still until a test steps it. Timers run in the order they are due, at the moment they are due. */
export class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  // Sorted by due time, and by age among equals.
  #timers: FakeTimer[] = [];

  constructor(options: FakeClockOptions = {}) {
    this.#wall = options.startAt ?? Date.UTC(2026, 0, 1);
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  setTimer(delayMs: number, task: () => void): TimerHandle {
    const timer: FakeTimer = { dueAt: this.#monotonic + Math.max(0, delayMs), task };
    this.#timers.splice(this.#after(timer.dueAt), 0, timer);
    return { cancel: () => this.#cancel(timer) };
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Milliseconds until the next timer is due; undefined when none waits. */
  get nextDueMs(): number | undefined {
    const first = this.#timers[0];
    return first === undefined ? undefined : Math.max(0, first.dueAt - this.#monotonic);
  }

  /** Moves both clocks by `ms` and runs what comes due, without letting promises run in between. */
  advance(ms: number): void {
    const target = this.#monotonic + ms;
    while (this.#runFirst(target));
    this.#moveTo(target);
  }

  /** Moves both clocks by `ms`; after each timer, and at the end, promises run until they rest. */
  async advanceAsync(ms: number): Promise<void> {
    const target = this.#monotonic + ms;
    await settlePromises();
    while (this.#runFirst(target)) await settlePromises();
    this.#moveTo(target);
    await settlePromises();
  }

  /** The wall clock is set by `ms`, forward or back, as an operator or a time server does it; monotonic time goes on unmoved. */
  jumpWall(ms: number): void {
    this.#wall += ms;
  }

  #runFirst(target: number): boolean {
    const first = this.#timers[0];
    if (first === undefined || first.dueAt > target) return false;
    this.#timers.shift();
    this.#moveTo(Math.max(first.dueAt, this.#monotonic));
    first.task();
    return true;
  }

  #moveTo(monotonic: number): void {
    // Whole steps from one base would drift apart in floating point; both clocks move by the same difference instead.
    this.#wall += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }

  #after(dueAt: number): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#timers[middle] as FakeTimer).dueAt <= dueAt) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #cancel(timer: FakeTimer): void {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  }
}

/** Resolves after promises and immediates that need no timer have had their turns. */
export async function settlePromises(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
}
