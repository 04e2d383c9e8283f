import type { Clock, TimerHandle } from "./clock.ts";
import { Heap } from "./heap.ts";

/** Something that is due at a moment; one that was taken back is passed over. */
export interface Deadline<T> {
  readonly dueAt: number;
  /** Deadlines of one moment fall due in the order in which they were added. */
  readonly order: number;
  /** Undefined once it is over or was taken back: the heap may hold the entry for a while, never what it is about. */
  value: T | undefined;
}

/** Many deadlines on one timer: a binary heap on the clock's monotonic time. Ten thousand waits cost one timer. */
export class Deadlines<T> {
  readonly #clock: Clock;
  readonly #onDue: (value: T) => void;
  readonly #heap = new Heap<Deadline<T>>(isBefore);
  #timer: TimerHandle | undefined;
  #timerDueAt = Infinity;
  #cancelled = 0;
  #added = 0;

  constructor(clock: Clock, onDue: (value: T) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** How many deadlines wait. */
  get size(): number {
    return this.#heap.size - this.#cancelled;
  }

  /** Calls back with `value` after `delayMs`. */
  add(delayMs: number, value: T): Deadline<T> {
    const entry: Deadline<T> = {
      dueAt: this.#clock.monotonic() + delayMs,
      order: this.#added++,
      value,
    };
    this.#heap.push(entry);
    this.#arm();
    return entry;
  }

  /** Takes a deadline back. Cheap: the heap forgets it later. */
  cancel(entry: Deadline<T>): void {
    if (entry.value === undefined) return;
    entry.value = undefined;
    this.#cancelled++;
    if (this.#cancelled > 64 && this.#cancelled > this.#heap.size / 2) this.#compact();
  }

  /** Forgets every deadline. */
  clear(): void {
    // A cancel() that comes later must not be counted: the heap no longer holds the entry.
    for (const entry of this.#heap.drain()) entry.value = undefined;
    this.#cancelled = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueAt = Infinity;
  }

  #compact(): void {
    const live = this.#heap.drain().filter((entry) => entry.value !== undefined);
    for (const entry of live) this.#heap.push(entry);
    this.#cancelled = 0;
    if (live.length === 0) this.clear();
  }

  #arm(): void {
    const first = this.#heap.peek();
    if (first === undefined || first.dueAt >= this.#timerDueAt) return;
    this.#timer?.cancel();
    this.#timerDueAt = first.dueAt;
    this.#timer = this.#clock.setTimer(Math.max(0, first.dueAt - this.#clock.monotonic()), () => this.#run());
  }

  #run(): void {
    this.#timer = undefined;
    this.#timerDueAt = Infinity;
    const now = this.#clock.monotonic();
    try {
      for (
        let first = this.#heap.peek();
        first !== undefined && first.dueAt <= now;
        first = this.#heap.peek()
      ) {
        this.#heap.pop();
        const { value } = first;
        // From here on a late cancel() must not be counted: the heap no longer holds the entry.
        first.value = undefined;
        if (value === undefined) this.#cancelled--;
        else this.#onDue(value);
      }
    } finally {
      // A callback that throws must not leave the others without a timer.
      this.#arm();
    }
  }
}

function isBefore<T>(a: Deadline<T>, b: Deadline<T>): boolean {
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
