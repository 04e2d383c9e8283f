import type { Subscription } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";

/** A delivery that came from a source: as it is handed out, and as the source knows it. */
export interface Item {
  readonly source: Source;
  readonly handed: Delivery;
  readonly own: Delivery;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;

/** One subscription of those that are read as one: at most one receive is out at a time. */
export class Source {
  readonly subscription: Subscription;
  /** Whoever reads in an order reads the lowest first. */
  readonly rank: number;
  /** What it has is brought by somebody else: it is never asked. */
  readonly isPushed: boolean;
  /** What came and is not handed out yet, the oldest first. */
  buffer: Item[] = [];
  /** A receive is out: nothing waits there, or it would have come. */
  isOut = false;
  /** How many it brought when it was last asked. */
  lastCount = 0;
  /** It is not asked before this, monotonic. */
  restsUntil = -Infinity;
  /** Why it rejected when it was last asked. */
  failure: unknown;
  #backoffMs = FIRST_BACKOFF_MS;

  constructor(
    subscription: Subscription,
    { rank = 0, isPushed = false }: { readonly rank?: number; readonly isPushed?: boolean } = {},
  ) {
    this.subscription = subscription;
    this.rank = rank;
    this.isPushed = isPushed;
  }

  /** It has answered. */
  answered(count: number): void {
    this.lastCount = count;
    this.failure = undefined;
    this.#backoffMs = FIRST_BACKOFF_MS;
  }

  /** It has rejected; gives how long it is left alone, longer every time. */
  failed(error: unknown, now: number): number {
    const restMs = this.#backoffMs;
    this.#backoffMs = Math.min(restMs * 2, MAX_BACKOFF_MS);
    this.lastCount = 0;
    this.failure = error;
    this.restsUntil = now + restMs;
    return restMs;
  }
}
