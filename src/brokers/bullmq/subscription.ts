import type { Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Deadline } from "../../core/deadlines.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import { commandError } from "./errors.ts";
import { Receipt, type BullMQDelivery, type Line, type Waiter } from "./line.ts";

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  /** Calls `wake` of the subscription after `waitMs`. */
  startWait(subscription: BullMQSubscription, waitMs: number): Deadline<Waiter>;
  endWait(deadline: Deadline<Waiter>): void;
  /** Jobs of this queue are due again. */
  returned(line: Line, dueAt: number): void;
  left(subscription: BullMQSubscription): Promise<void>;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
  monotonic(): number;
  pause(ms: number): Promise<void>;
}

const SETTLE_AGAIN_MS = 50;
const NOTHING: readonly Delivery[] = Object.freeze([]);

/** One member of a group, or one broadcast listener. */
export class BullMQSubscription implements Subscription, Waiter {
  readonly line: Line;
  readonly #host: SubscriptionHost;
  readonly #prefetch: number;
  #unsettled = 0;
  #isReceiving = false;
  #isClosed = false;
  #resume: (() => void) | undefined;

  constructor(line: Line, prefetch: number, host: SubscriptionHost) {
    this.line = line;
    this.#prefetch = prefetch;
    this.#host = host;
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#isReceiving) {
      throw waitsAlready();
    }
    this.#isReceiving = true;
    try {
      return await this.#receive(limit, this.#host.monotonic() + Math.max(0, waitMs));
    } catch (error) {
      throw this.#host.closed() ?? commandError(error);
    } finally {
      this.#isReceiving = false;
    }
  }

  /** Sent again until the leases are over while the server is away: what it carried out already it does not do twice. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    let left = settlements.filter(({ delivery: { receipt } }) => this.#holds(receipt));
    const leaseMs = Math.max(0, ...left.map(({ delivery }) => delivery.leaseMs ?? 0));
    const endsAt = this.#host.monotonic() + leaseMs;
    while (left.length > 0 && this.#host.closed() === undefined) {
      const results = await Promise.allSettled(left.map((settlement) => this.#settle(settlement)));
      this.wake();
      const failed = results.find((result) => result.status === "rejected");
      if (failed === undefined || this.#host.closed() !== undefined) return;
      const error = commandError(failed.reason);
      // An extension is for its holder to ask for again.
      left = left.filter(({ kind }, at) => kind !== "extend" && results[at]?.status === "rejected");
      const isOver = left.length === 0 || this.#host.monotonic() >= endsAt;
      if (isOver || error.code !== "NOT_CONNECTED") throw error;
      await this.#host.pause(SETTLE_AGAIN_MS);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.wake();
    await this.#host.left(this);
  }

  /** Something may be there to take, or the wait is over. */
  wake(): void {
    this.#resume?.();
  }

  async #receive(limit: number, endsAt: number): Promise<readonly Delivery[]> {
    for (;;) {
      const refusal = this.#host.closed();
      if (refusal !== undefined && !this.#isClosed) throw refusal;
      if (this.#isClosed || limit <= 0) return NOTHING;
      const { wakes } = this.line;
      const most = Math.min(limit, this.#prefetch - this.#unsettled);
      const taken = most > 0 ? await this.line.fetch(most, this) : [];
      if (taken.length > 0) return this.#handOut(taken);
      const leftMs = endsAt - this.#host.monotonic();
      if (leftMs <= 0) return NOTHING;
      // Closed meanwhile, or woken: the next look tells.
      if (!this.#isClosed && (most <= 0 || wakes === this.line.wakes)) await this.#wait(leftMs, most > 0);
    }
  }

  /** Somebody closed this while it fetched: what came is given back, as if it had never been asked for. */
  async #handOut(taken: readonly BullMQDelivery[]): Promise<readonly Delivery[]> {
    this.#unsettled += taken.length;
    if (!this.#isClosed) return taken;
    await this.settle(taken.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));
    return NOTHING;
  }

  /** Until something may be there, it is woken, or the wait is over. Who has no room must not take a wake from who has. */
  #wait(waitMs: number, hasRoom: boolean): Promise<void> {
    return new Promise((resolve) => {
      const deadline = waitMs === Infinity ? undefined : this.#host.startWait(this, waitMs);
      if (hasRoom) this.line.wait(this);
      this.#resume = () => {
        this.#resume = undefined;
        this.line.stopWaiting(this);
        if (deadline !== undefined) this.#host.endWait(deadline);
        resolve();
      };
    });
  }

  #holds(receipt: unknown): receipt is Receipt {
    return receipt instanceof Receipt && receipt.holder === this;
  }

  async #settle(settlement: Settlement): Promise<void> {
    const receipt = settlement.delivery.receipt as Receipt;
    if (!this.#holds(receipt)) return;
    if (settlement.kind !== "extend") this.#letGo(receipt);
    try {
      const dueAt = await this.line.settle(settlement, receipt);
      if (dueAt !== undefined) this.#host.returned(this.line, dueAt);
    } catch (error) {
      // Nobody knows whether it was done: it may be said again.
      receipt.holder = this;
      throw error;
    }
  }

  /** It takes no room from now on, also if the server does not hear of it: nobody may say it again, and others must not starve. */
  #letGo(receipt: Receipt): void {
    receipt.holder = null;
    if (!receipt.takesRoom) return;
    receipt.takesRoom = false;
    this.#unsettled--;
  }
}
