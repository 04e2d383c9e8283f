import { Column } from "../checker/columns.ts";

/** What a run knows of one writer, so that another process can go on where one died. */
export class WriterBook {
  readonly #settled = Column.bytes();
  readonly #inFlight = new Set<number>();
  #next = 0;
  #lowestOpen = 0;
  #settledCount = 0;
  /** How many counters the writer may use in all. */
  granted = 0;

  /** The first counter that was never tried. */
  get next(): number {
    return this.#next;
  }

  /** Every counter that was granted came to an end. */
  get isDone(): boolean {
    return this.#settledCount === this.granted;
  }

  invoked(counter: number): void {
    this.#inFlight.add(counter);
    this.#next = Math.max(this.#next, counter + 1);
  }

  /** The publish was answered; `ends`: it will not be tried again. */
  answered(counter: number, ends: boolean): void {
    this.#inFlight.delete(counter);
    if (!ends || this.#settled.get(counter) === 1) return;
    this.#settled.set(counter, 1);
    this.#settledCount++;
  }

  /** The process died: what was in flight is unknown. */
  died(): readonly number[] {
    const unknown = [...this.#inFlight];
    this.#inFlight.clear();
    return unknown;
  }

  /** Counters that were passed over or left open, in order. */
  open(): readonly number[] {
    while (this.#lowestOpen < this.#next && this.#settled.get(this.#lowestOpen) === 1) this.#lowestOpen++;
    const open: number[] = [];
    for (let counter = this.#lowestOpen; counter < this.#next; counter++)
      if (this.#settled.get(counter) === 0) open.push(counter);
    return open;
  }
}
