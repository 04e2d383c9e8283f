import type { Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import type { Later, Timers } from "../shared/timers.ts";
import type { Holder } from "./delivery.ts";
import type { Member, Reader } from "./reader.ts";

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  readonly timers: Timers;
  settle(settlements: readonly Settlement[], holder: Holder): Promise<void>;
  left(subscription: NatsSubscription): Promise<void>;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
}

interface Waiting {
  readonly limit: number;
  readonly endsAt: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly deadline: Later | undefined;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);
/** How long one that does not want to wait waits for the server's word. */
const ANSWER_MS = 1000;
/** The same where a request is out already: what there is is on its way. */
const ON_ITS_WAY_MS = 25;

/** One member of a group, or one broadcast listener. */
export class NatsSubscription implements Subscription, Member {
  readonly reader: Reader;
  readonly #prefetch: number;
  readonly #host: SubscriptionHost;
  #unsettled = 0;
  #waiting: Waiting | undefined;
  #isClosed = false;

  constructor(reader: Reader, prefetch: number, host: SubscriptionHost) {
    this.reader = reader;
    this.#prefetch = prefetch;
    this.#host = host;
  }

  get room(): number {
    return Math.min(this.#waiting?.limit ?? 0, this.#prefetch - this.#unsettled);
  }

  get endsAt(): number {
    return this.#waiting?.endsAt ?? -Infinity;
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) throw waitsAlready();
    if (this.#isClosed) {
      const reason = this.#host.closed();
      if (reason !== undefined) throw reason;
      return NOTHING;
    }
    const isNow = !(waitMs > 0);
    if (limit <= 0 || (isNow && this.#prefetch <= this.#unsettled)) return NOTHING;
    const { timers } = this.#host;
    return new Promise((resolve) => {
      const endsAt = isNow ? -Infinity : timers.monotonic() + waitMs;
      const mostMs = isNow ? (this.reader.isAsking ? ON_ITS_WAY_MS : ANSWER_MS) : waitMs;
      const deadline = mostMs === Infinity ? undefined : timers.after(mostMs, () => this.give(NOTHING));
      this.#waiting = { limit, endsAt, resolve, deadline };
      this.reader.wait(this);
    });
  }

  give(deliveries: readonly Delivery[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    this.#unsettled += deliveries.length;
    waiting.deadline?.cancel();
    this.reader.stopWaiting(this);
    waiting.resolve(deliveries);
  }

  settled(count: number): void {
    this.#unsettled -= count;
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.#host.settle(settlements, this);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.give(NOTHING);
    await this.#host.left(this);
  }
}
