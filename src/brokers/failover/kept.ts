import type { Subscription } from "../../core/broker.ts";
import type { Settlement } from "../../core/delivery.ts";
import { HeraldError } from "../../core/errors.ts";

interface Kept {
  readonly subscription: Subscription;
  readonly settlements: readonly Settlement[];
}

/** Settlements that did not get through, kept in their order until their side is well again. Bounded. */
export class KeptSettlements {
  readonly #max: number;
  #kept: Kept[] = [];
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** Keeps what matters later: an extended lease is over by then. Throws `OVERLOADED` when there is no room. */
  add(subscription: Subscription, settlements: readonly Settlement[]): void {
    const lasting = settlements.filter(({ kind }) => kind !== "extend");
    if (this.#size + lasting.length > this.#max) {
      const message = `${this.#size} settlements wait for a broker that is away, and there is room for ${this.#max}: these messages come again.`;
      throw new HeraldError("OVERLOADED", message);
    }
    if (lasting.length === 0) return;
    this.#kept.push({ subscription, settlements: lasting });
    this.#size += lasting.length;
  }

  /** Tries all of them again; what fails is kept, with all that follows it. */
  async flush(
    settle: (subscription: Subscription, settlements: readonly Settlement[]) => Promise<void>,
  ): Promise<void> {
    while (this.#kept.length > 0) {
      const first = this.#kept[0] as Kept;
      await settle(first.subscription, first.settlements);
      if (this.#kept[0] !== first) return;
      this.#kept.shift();
      this.#size -= first.settlements.length;
    }
  }
}
