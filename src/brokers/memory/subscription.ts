import type { Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Deadline } from "../../core/deadlines.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import { Entry, type EntryQueue, type Holder } from "./entry.ts";
import type { GroupQueue } from "./group-queue.ts";

interface Waiting {
  readonly limit: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly deadline: Deadline<MemorySubscription> | undefined;
}

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  startWait(subscription: MemorySubscription, waitMs: number): Deadline<MemorySubscription> | undefined;
  endWait(deadline: Deadline<MemorySubscription>): void;
  /** Ends an entry, or puts it back after a delay. */
  settle(entry: Entry, settlement: Settlement): void;
  /** Called once after a batch of settlements. */
  settled(queue: EntryQueue): void;
  left(subscription: MemorySubscription): void;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);

/** One member of a group, or one broadcast listener. */
export class MemorySubscription implements Subscription, Holder {
  readonly queue: GroupQueue;
  readonly #host: SubscriptionHost;
  readonly #prefetch: number;
  #unsettled = 0;
  #waiting: Waiting | undefined;
  #closed = false;

  constructor(queue: GroupQueue, prefetch: number, host: SubscriptionHost) {
    this.queue = queue;
    this.#prefetch = prefetch;
    this.#host = host;
  }

  receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) {
      return Promise.reject(waitsAlready());
    }
    if (this.#closed) {
      const reason = this.#host.closed();
      return reason === undefined ? Promise.resolve(NOTHING) : Promise.reject(reason);
    }
    const taken = this.#take(limit);
    if (taken.length > 0 || waitMs <= 0 || limit <= 0) return Promise.resolve(taken);
    return new Promise((resolve) => {
      this.#waiting = { limit, resolve, deadline: this.#host.startWait(this, waitMs) };
      this.queue.wait(this);
    });
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    for (const settlement of settlements) {
      const entry = settlement.delivery.receipt;
      if (!(entry instanceof Entry) || entry.holder !== this || settlement.kind === "extend") continue;
      entry.holder = null;
      entry.tally.unsettled--;
      this.#unsettled--;
      this.#host.settle(entry, settlement);
    }
    this.#host.settled(this.queue);
    if (this.#waiting !== undefined && this.queue.ready > 0) this.wake();
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#finishWait(NOTHING);
      this.#host.left(this);
    }
    return Promise.resolve();
  }

  /** Something may be ready: resolves the waiting receive if so. */
  wake(): void {
    if (this.#waiting === undefined) return;
    const taken = this.#take(this.#waiting.limit);
    if (taken.length > 0) this.#finishWait(taken);
  }

  /** The wait is over without a delivery. */
  giveUp(): void {
    this.#finishWait(NOTHING);
  }

  #finishWait(deliveries: readonly Delivery[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    this.queue.stopWaiting(this);
    if (waiting.deadline !== undefined) this.#host.endWait(waiting.deadline);
    waiting.resolve(deliveries);
  }

  #take(limit: number): readonly Delivery[] {
    const most = Math.min(limit, this.#prefetch - this.#unsettled);
    if (most <= 0 || this.queue.ready === 0) return NOTHING;
    const taken: Entry[] = [];
    while (taken.length < most) {
      const entry = this.queue.next();
      if (entry === undefined) break;
      entry.holder = this;
      entry.tally.unsettled++;
      taken.push(entry);
    }
    this.#unsettled += taken.length;
    return taken;
  }
}
