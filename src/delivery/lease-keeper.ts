import type { Clock, TimerHandle } from "../core/clock.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";

/** Extends the leases of what is held, all with one timer, at a third of the lease, so that two failures in a row do no harm. */
export class LeaseKeeper {
  readonly #clock: Clock;
  readonly #extend: (settlements: readonly Settlement[]) => void;
  readonly #held = new Set<Delivery>();
  #timer: TimerHandle | undefined;
  #dueAt = Infinity;

  constructor(clock: Clock, extend: (settlements: readonly Settlement[]) => void) {
    this.#clock = clock;
    this.#extend = extend;
  }

  hold(delivery: Delivery): void {
    if (delivery.leaseMs === null) return;
    this.#held.add(delivery);
    this.#renewWithin(delivery.leaseMs / 3);
  }

  release(delivery: Delivery): void {
    if (delivery.leaseMs === null) return;
    this.#held.delete(delivery);
    if (this.#held.size === 0) this.#rest();
  }

  /** One that is due before the others brings the timer forward for all. */
  #renewWithin(delayMs: number): void {
    const dueAt = this.#clock.monotonic() + delayMs;
    if (dueAt >= this.#dueAt) return;
    this.#rest();
    this.#dueAt = dueAt;
    this.#timer = this.#clock.setTimer(delayMs, () => this.#renew());
  }

  #rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dueAt = Infinity;
  }

  #renew(): void {
    this.#rest();
    let shortest = Infinity;
    const settlements: Settlement[] = [];
    for (const delivery of this.#held) {
      const leaseMs = delivery.leaseMs as number;
      shortest = Math.min(shortest, leaseMs);
      settlements.push({ kind: "extend", delivery, leaseMs });
    }
    this.#extend(settlements);
    this.#renewWithin(shortest / 3);
  }
}
