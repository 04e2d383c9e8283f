import type { HistoryEvent } from "../checker/history.ts";

// Longer than it takes a line to get from one process to another.
const WINDOW_MS = 1500;
const FLUSH_EVERY_MS = 200;

/**
 * Puts the events of several processes into the order they happened in: they carry one clock, and arrive a little later
 * than they happened, each process's own in order.
 */
export class EventMerge {
  readonly #now: () => number;
  readonly #emit: (event: HistoryEvent) => void;
  readonly #timer: NodeJS.Timeout;
  #waiting: HistoryEvent[] = [];

  constructor(now: () => number, emit: (event: HistoryEvent) => void) {
    this.#now = now;
    this.#emit = emit;
    // What lies in the pipes already is read before the window moves on.
    this.#timer = setInterval(() => setImmediate(() => this.#flush(this.#now() - WINDOW_MS)), FLUSH_EVERY_MS);
    this.#timer.unref();
  }

  add(event: HistoryEvent): void {
    this.#waiting.push(event);
  }

  /** Emits what is left. */
  end(): void {
    clearInterval(this.#timer);
    this.#flush(Infinity);
  }

  #flush(before: number): void {
    const sorted = this.#waiting.toSorted((a, b) => a.at - b.at);
    const ready = sorted.findIndex(({ at }) => at >= before);
    this.#waiting = ready === -1 ? [] : sorted.slice(ready);
    const count = ready === -1 ? sorted.length : ready;
    for (let index = 0; index < count; index++) this.#emit(sorted[index] as HistoryEvent);
  }
}
