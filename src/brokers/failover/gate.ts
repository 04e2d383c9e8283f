import type { TimeLimits } from "./deadline.ts";

interface Waiter {
  readonly count: number;
  readonly resolve: (isIn: boolean) => void;
}

/** Bounds how much waits for an answer. */
export class Gate {
  readonly #max: number;
  readonly #limits: TimeLimits;
  readonly #waiters = new Set<Waiter>();
  #inside = 0;

  constructor(max: number, limits: TimeLimits) {
    this.#max = max;
    this.#limits = limits;
  }

  get inside(): number {
    return this.#inside;
  }

  /** True when there was room. What is larger than all the room passes when nothing else is inside. */
  enter(count: number): boolean {
    if (this.#waiters.size > 0 || (this.#inside > 0 && this.#inside + count > this.#max)) return false;
    this.#inside += count;
    return true;
  }

  /** True once there is room, false when there was none in time. Those who wait get in in their order. */
  wait(count: number, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        count,
        resolve: (isIn) => {
          deadline.cancel();
          this.#waiters.delete(waiter);
          resolve(isIn);
        },
      };
      const deadline = this.#limits.after(limitMs, () => waiter.resolve(false));
      this.#waiters.add(waiter);
    });
  }

  leave(count: number): void {
    this.#inside -= count;
    for (const waiter of this.#waiters) {
      if (this.#inside > 0 && this.#inside + waiter.count > this.#max) return;
      this.#inside += waiter.count;
      waiter.resolve(true);
    }
  }
}
