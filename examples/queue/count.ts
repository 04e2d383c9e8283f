import type { Printed } from "./job.ts";

/** What was printed, by whom, and when. */
export class Count {
  readonly byWorker: Record<string, number> = {};
  readonly #times = new Map<number, number>();
  readonly #places = { urgent: [] as number[], others: [] as number[] };
  #firstAt = 0;
  #lastAt = 0;

  /** Jobs that were printed at least once. */
  get printed(): number {
    return this.#times.size;
  }

  add({ n, by, isUrgent }: Printed): void {
    this.#times.set(n, (this.#times.get(n) ?? 0) + 1);
    this.byWorker[by] = (this.byWorker[by] ?? 0) + 1;
    this.#places[isUrgent ? "urgent" : "others"].push(this.printed);
    this.#lastAt = performance.now();
    if (this.printed === 1) this.#firstAt = this.#lastAt;
  }

  outcome() {
    return {
      printed: this.printed,
      twice: [...this.#times.values()].filter((count) => count > 1).length,
      byWorker: this.byWorker,
      urgentAt: mean(this.#places.urgent),
      othersAt: mean(this.#places.others),
      elapsedMs: Math.round(this.#lastAt - this.#firstAt),
    };
  }
}

function mean(places: readonly number[]): number {
  return Math.round(places.reduce((sum, place) => sum + place, 0) / places.length);
}
