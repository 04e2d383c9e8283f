import type { Clock, TimerHandle } from "./clock.ts";

/** Something that is due at a moment; `cancelled` entries are passed over. */
export interface Deadline<T> {
  readonly dueAt: number;
  readonly value: T;
  cancelled: boolean;
}

/** Many deadlines on one timer: a binary heap on the clock's monotonic time. Ten thousand waits cost one timer. */
export class Deadlines<T> {
  readonly #clock: Clock;
  readonly #onDue: (value: T) => void;
  #heap: Deadline<T>[] = [];
  #timer: TimerHandle | undefined;
  #timerDueAt = Infinity;
  #cancelled = 0;

  constructor(clock: Clock, onDue: (value: T) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** How many deadlines wait. */
  get size(): number {
    return this.#heap.length - this.#cancelled;
  }

  /** Calls back with `value` after `delayMs`. */
  add(delayMs: number, value: T): Deadline<T> {
    const entry: Deadline<T> = { dueAt: this.#clock.monotonic() + delayMs, value, cancelled: false };
    push(this.#heap, entry);
    this.#arm();
    return entry;
  }

  /** Takes a deadline back. Cheap: the heap forgets it later. */
  cancel(entry: Deadline<T>): void {
    if (entry.cancelled) return;
    entry.cancelled = true;
    this.#cancelled++;
    if (this.#cancelled > 64 && this.#cancelled > this.#heap.length / 2) this.#compact();
  }

  /** Forgets every deadline. */
  clear(): void {
    this.#heap = [];
    this.#cancelled = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueAt = Infinity;
  }

  #compact(): void {
    const live = this.#heap.filter((entry) => !entry.cancelled);
    this.#heap = [];
    for (const entry of live) push(this.#heap, entry);
    this.#cancelled = 0;
    if (live.length === 0) this.clear();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.dueAt >= this.#timerDueAt) return;
    this.#timer?.cancel();
    this.#timerDueAt = first.dueAt;
    this.#timer = this.#clock.setTimer(Math.max(0, first.dueAt - this.#clock.monotonic()), () => this.#run());
  }

  #run(): void {
    this.#timer = undefined;
    this.#timerDueAt = Infinity;
    const now = this.#clock.monotonic();
    for (let first = this.#heap[0]; first !== undefined && first.dueAt <= now; first = this.#heap[0]) {
      pop(this.#heap);
      if (first.cancelled) this.#cancelled--;
      else {
        // From here on a late cancel() must not be counted: the heap no longer holds the entry.
        first.cancelled = true;
        this.#onDue(first.value);
      }
    }
    this.#arm();
  }
}

function push<T>(heap: Deadline<T>[], entry: Deadline<T>): void {
  let at = heap.length;
  heap.push(entry);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if ((heap[parent] as Deadline<T>).dueAt <= entry.dueAt) break;
    heap[at] = heap[parent] as Deadline<T>;
    at = parent;
  }
  heap[at] = entry;
}

function pop<T>(heap: Deadline<T>[]): void {
  const last = heap.pop() as Deadline<T>;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] as Deadline<T>).dueAt < (heap[child] as Deadline<T>).dueAt) child++;
    if ((heap[child] as Deadline<T>).dueAt >= last.dueAt) break;
    heap[at] = heap[child] as Deadline<T>;
    at = child;
  }
  heap[at] = last;
}
