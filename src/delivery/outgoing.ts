import type { Subscription } from "../core/broker.ts";
import type { Settlement } from "../core/delivery.ts";
import { Outstanding } from "./outstanding.ts";
import { soon } from "./soon.ts";

/** Settlements on their way to the broker: those of one turn go in one call. One that fails is a delivery that comes again. */
export class Outgoing {
  readonly #subscription: Subscription;
  readonly #onFault: (error: unknown) => void;
  readonly #outstanding = new Outstanding();
  #waiting: Settlement[] = [];
  readonly #flushSoon = (): void => this.flush();

  constructor(subscription: Subscription, onFault: (error: unknown) => void) {
    this.#subscription = subscription;
    this.#onFault = onFault;
  }

  push(settlement: Settlement): void {
    if (this.#waiting.length === 0) soon(this.#flushSoon);
    this.#waiting.push(settlement);
  }

  flush(): void {
    if (this.#waiting.length === 0) return;
    const settlements = this.#waiting;
    this.#waiting = [];
    this.send(settlements);
  }

  /** What fails is told, not thrown. */
  send(settlements: readonly Settlement[]): void {
    this.track(this.#hand(settlements));
  }

  /** Something else that is waited for before everything is told. It must not reject. */
  track(promise: Promise<unknown>): void {
    this.#outstanding.track(promise);
  }

  /** Resolves when every settlement has reached the broker, those included that wait for something tracked. */
  async told(): Promise<void> {
    await this.#outstanding.idle();
    this.flush();
    await this.#outstanding.idle();
  }

  async #hand(settlements: readonly Settlement[]): Promise<void> {
    try {
      await this.#subscription.settle(settlements);
    } catch (error) {
      this.#onFault(error);
    }
  }
}
