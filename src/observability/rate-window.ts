const SECONDS = 60;

/** Counts events of the last minute in buckets of a second. */
export class RateWindow {
  readonly #counts = new Uint32Array(SECONDS);
  readonly #startedAt: number;
  #second: number;

  /** `nowMs`: monotonic milliseconds, as in every method. */
  constructor(nowMs: number) {
    this.#startedAt = nowMs;
    this.#second = Math.floor(nowMs / 1000);
  }

  add(nowMs: number): void {
    this.#forward(nowMs);
    const at = this.#second % SECONDS;
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }

  /** Events of the last minute. */
  count(nowMs: number): number {
    this.#forward(nowMs);
    let sum = 0;
    for (const count of this.#counts) sum += count;
    return sum;
  }

  /** Events a second over the last minute, or since the window began if that is shorter. */
  perSecond(nowMs: number): number {
    const seconds = Math.min(SECONDS, Math.max(1, (nowMs - this.#startedAt) / 1000));
    return this.count(nowMs) / seconds;
  }

  #forward(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) return;
    const steps = Math.min(second - this.#second, SECONDS);
    for (let i = 1; i <= steps; i++) this.#counts[(this.#second + i) % SECONDS] = 0;
    this.#second = second;
  }
}
