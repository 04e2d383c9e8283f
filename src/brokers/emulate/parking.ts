import type { Subscription } from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import type { Later, Timers } from "../shared/timers.ts";

/** A delivery in hand that is not to be handed out yet. */
export interface Parked {
  readonly subscription: Subscription;
  readonly delivery: Delivery;
  /** Its time has come. */
  readonly due: () => void;
}

interface Place {
  readonly waiting: Later;
  leasing: Later | undefined;
}

/** Which part of a lease may pass before it is made longer. */
const LEASE_SHARE = 3;

/** Keeps deliveries in hand until they are due, by monotonic time, and their leases alive. */
export class Parking {
  readonly #timers: Timers;
  readonly #fault: (error: HeraldError) => void;
  readonly #places = new Map<Parked, Place>();
  #extending = new Map<Subscription, Settlement[]>();

  constructor(timers: Timers, fault: (error: HeraldError) => void) {
    this.#timers = timers;
    this.#fault = fault;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Everything that is parked. */
  get parked(): Iterable<Parked> {
    return this.#places.keys();
  }

  park(parked: Parked, delayMs: number): void {
    const place: Place = {
      waiting: this.#timers.after(Math.max(0, delayMs), () => {
        this.take(parked);
        parked.due();
      }),
      leasing: undefined,
    };
    this.#places.set(parked, place);
    const { leaseMs } = parked.delivery;
    if (leaseMs !== null && delayMs > leaseMs / LEASE_SHARE) this.#lease(parked, place, leaseMs);
  }

  /** Takes one out before its time; false when it was not there. */
  take(parked: Parked): boolean {
    const place = this.#places.get(parked);
    if (place === undefined) return false;
    this.#places.delete(parked);
    place.waiting.cancel();
    place.leasing?.cancel();
    return true;
  }

  /** Takes all of them out. */
  clear(): readonly Parked[] {
    const all = [...this.#places.keys()];
    for (const parked of all) this.take(parked);
    return all;
  }

  #lease(parked: Parked, place: Place, leaseMs: number): void {
    place.leasing = this.#timers.after(leaseMs / LEASE_SHARE, () => {
      this.#extend(parked, leaseMs);
      this.#lease(parked, place, leaseMs);
    });
  }

  /** What falls due at one time is said in one call. */
  #extend({ subscription, delivery }: Parked, leaseMs: number): void {
    if (this.#extending.size === 0) queueMicrotask(() => this.#flush());
    const list = this.#extending.get(subscription);
    const extend = { kind: "extend", delivery, leaseMs } as const;
    if (list === undefined) this.#extending.set(subscription, [extend]);
    else list.push(extend);
  }

  #flush(): void {
    const extending = this.#extending;
    this.#extending = new Map();
    for (const [subscription, settlements] of extending)
      subscription.settle(settlements).catch((error: unknown) => this.#fault(toHeraldError(error)));
  }
}
