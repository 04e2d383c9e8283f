import type { Clock, TimerHandle } from "../core/clock.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";

/** Extends the leases of what is held, all with one timer, at a third of the lease, so that two failures in a row do no harm. */
export class LeaseKeeper {
  readonly #clock: Clock;
  readonly #extend: (settlements: readonly Settlement[]) => void;
  readonly #held = new Set<Delivery>();
  #timer: TimerHandle | undefined;

  constructor(clock: Clock, extend: (settlements: readonly Settlement[]) => void) {
    this.#clock = clock;
    this.#extend = extend;
  }

  hold(delivery: Delivery): void {
    if (delivery.leaseMs === null) return;
    this.#held.add(delivery);
    this.#timer ??= this.#clock.setTimer(delivery.leaseMs / 3, () => this.#renew());
  }

  release(delivery: Delivery): void {
    if (delivery.leaseMs === null) return;
    this.#held.delete(delivery);
    if (this.#held.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #renew(): void {
    this.#timer = undefined;
    let shortest = Infinity;
    const settlements: Settlement[] = [];
    for (const delivery of this.#held) {
      const leaseMs = delivery.leaseMs as number;
      shortest = Math.min(shortest, leaseMs);
      settlements.push({ kind: "extend", delivery, leaseMs });
    }
    this.#extend(settlements);
    this.#timer = this.#clock.setTimer(shortest / 3, () => this.#renew());
  }
}
