import type { Broker, Subscription } from "../../core/broker.ts";
import { createEnvelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import type { CoordinationMode, CoordinationModeManager } from "./coordination-mode.ts";
import type { TimeLimits } from "./deadline.ts";
import { INTERNAL_PREFIX } from "./handover.ts";

const CHANNEL = `${INTERNAL_PREFIX}orders`;
const WAIT_MS = 30_000;
/** An order that could not be followed yet, because the mode has just changed, is tried again so often and so long. */
const AGAIN_MS = 500;
const TRIES = 30;

/** What one operator tells all. */
interface Order {
  readonly mode: CoordinationMode;
  readonly reason: string;
}

/** What following orders needs of the broker. */
export interface OrdersHost {
  readonly fallback: Broker;
  readonly coordination: CoordinationModeManager;
  readonly limits: TimeLimits;
  closed(): HeraldError | undefined;
  fault(error: HeraldError, where: string): void;
}

/** Switches by hand are told to every process that shares the fallback, and followed there. */
export class Orders {
  readonly #host: OrdersHost;
  #subscription: Subscription | undefined;

  constructor(host: OrdersHost) {
    this.#host = host;
  }

  /** Listens from now on. */
  async start(): Promise<void> {
    const spec = { pattern: CHANNEL, group: null, prefetch: 10 } as const;
    const subscription = await this.#host.fallback.subscribe(spec);
    this.#subscription = subscription;
    void this.#listen(subscription);
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  /** Tells everybody. Rejects with what the fallback rejects with. */
  async give(mode: CoordinationMode, reason: string): Promise<void> {
    const body = new TextEncoder().encode(JSON.stringify({ mode, reason } satisfies Order));
    const envelope = createEnvelope({
      id: createId(),
      channel: CHANNEL,
      source: "failover",
      time: Date.now(),
      body,
    });
    const [result] = await this.#host.fallback.publish([envelope]);
    if (result?.ok === false) throw toHeraldError(result.error);
  }

  async #listen(subscription: Subscription): Promise<void> {
    while (this.#host.closed() === undefined) {
      try {
        const deliveries = await subscription.receive(10, WAIT_MS);
        if (deliveries.length === 0 && this.#subscription !== subscription) return;
        await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
        const last = deliveries.at(-1);
        if (last !== undefined)
          this.#follow(JSON.parse(new TextDecoder().decode(last.envelope.body)) as Order, TRIES);
      } catch (error) {
        if (this.#host.closed() !== undefined) return;
        const failure = toHeraldError(error);
        this.#host.fault(failure, "orders");
        if (failure.code === "CLOSED") return;
        await new Promise<void>((resolve) => void this.#host.limits.after(AGAIN_MS, resolve));
      }
    }
  }

  #follow({ mode, reason }: Order, triesLeft: number): void {
    const { coordination, limits } = this.#host;
    const again = (): void => {
      if (coordination.getMode() === mode || triesLeft === 0 || this.#host.closed() !== undefined) return;
      limits.after(AGAIN_MS, () => this.#follow({ mode, reason }, triesLeft - 1));
    };
    coordination.switchMode(mode, reason).then(again, again);
  }
}
