import type { Subscription } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";
import type { SideName } from "./seen.ts";

/** What one side's reader tells the subscription it belongs to. */
export interface ReaderOwner {
  /** Deliveries came, or the wait is over. */
  got(reader: Reader, deliveries: readonly Delivery[]): void;
  /** The side rejected. */
  failed(reader: Reader, error: unknown): void;
}

/** One side of a subscription: at most one receive is out at a time. */
export class Reader {
  readonly side: SideName;
  readonly #owner: ReaderOwner;
  #subscription: Subscription | undefined;
  #isOut = false;
  /** What it gave when it was last asked. */
  lastCount = 0;
  /** It rejected, and is not asked until its side is well again. */
  isFailed = false;

  constructor(side: SideName, owner: ReaderOwner) {
    this.side = side;
    this.#owner = owner;
  }

  /** Undefined until the side could be subscribed to. */
  get subscription(): Subscription | undefined {
    return this.#subscription;
  }

  get canAsk(): boolean {
    return this.#subscription !== undefined && !this.#isOut && !this.isFailed;
  }

  attach(subscription: Subscription): void {
    this.#subscription = subscription;
    this.isFailed = false;
  }

  /** Asks the side; what comes is told to the owner. Resolves then, and never rejects. */
  async ask(limit: number, waitMs: number): Promise<void> {
    if (this.#subscription === undefined) return;
    this.#isOut = true;
    let deliveries: readonly Delivery[] | undefined;
    let thrown: unknown;
    try {
      deliveries = await this.#subscription.receive(limit, waitMs);
    } catch (error) {
      thrown = error;
    }
    this.#isOut = false;
    this.lastCount = deliveries?.length ?? 0;
    if (deliveries !== undefined) this.#owner.got(this, deliveries);
    else {
      this.isFailed = true;
      this.#owner.failed(this, thrown);
    }
  }
}
