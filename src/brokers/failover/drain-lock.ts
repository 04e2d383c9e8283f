import type { Broker, Subscription } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";
import { createEnvelope } from "../../core/envelope.ts";
import { toHeraldError } from "../../core/errors.ts";
import type { TimeLimits } from "./deadline.ts";
import { INTERNAL_PREFIX } from "./handover.ts";

const CHANNEL = `${INTERNAL_PREFIX}lock`;
const GROUP = "failover.lock";

/**
 * One drainer at a time, of all processes that share a fallback: one message that whoever drains has in hand and never
 * acknowledges. Its lease frees it when a process dies, and its attempt counts the holders.
 */
export class DrainLock {
  readonly #subscription: Subscription;
  readonly #limits: TimeLimits;
  #token: Delivery | undefined;
  #renewing: { cancel(): void } | undefined;

  private constructor(subscription: Subscription, limits: TimeLimits) {
    this.#subscription = subscription;
    this.#limits = limits;
  }

  /** Makes the message when there is none. Of processes that begin at once one makes it. */
  static async open(fallback: Broker, store: string, limits: TimeLimits): Promise<DrainLock> {
    const subscription = await fallback.subscribe({ pattern: CHANNEL, group: GROUP, prefetch: 1 });
    const { channels } = await fallback.inspect({ channels: [CHANNEL] });
    const lag = channels[0]?.groups.find(({ group }) => group === GROUP)?.lag ?? 0;
    if (lag === 0) {
      const token = createEnvelope({
        id: `failover-lock-${store}`,
        channel: CHANNEL,
        source: "failover",
        time: Date.now(),
        body: new TextEncoder().encode("{}"),
      });
      const [result] = await fallback.publish([token], { dedupe: true });
      if (result?.ok === false) throw toHeraldError(result.error);
    }
    return new DrainLock(subscription, limits);
  }

  get isHeld(): boolean {
    return this.#token !== undefined;
  }

  /** True once it is ours; false when it was not free in time. */
  async acquire(waitMs: number): Promise<boolean> {
    const [token] = await this.#subscription.receive(1, waitMs);
    if (token === undefined) return false;
    this.#token = token;
    this.#renew(token);
    return true;
  }

  /** The next may have it. */
  async release(): Promise<void> {
    const token = this.#token;
    this.#renewing?.cancel();
    this.#token = undefined;
    if (token !== undefined)
      await this.#subscription.settle([{ kind: "release", delivery: token, delayMs: 0 }]);
  }

  async close(): Promise<void> {
    await this.release();
    await this.#subscription.close();
  }

  #renew(token: Delivery): void {
    const { leaseMs } = token;
    if (leaseMs === null) return;
    this.#renewing = this.#limits.after(leaseMs / 3, () => {
      if (this.#token !== token) return;
      this.#subscription.settle([{ kind: "extend", delivery: token, leaseMs }]).then(
        () => {
          if (this.#token === token) this.#renew(token);
        },
        // Not ours for certain any more.
        () => (this.#token = undefined),
      );
    });
  }
}
