import type {
  Broker,
  BrokerPublishOptions,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import type { Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../../core/broker-wrapper.ts";
import type { CrashPoints } from "./crash-points.ts";
import type { EventLines } from "./event-lines.ts";

/** What a child's broker tells of itself, and where. */
export interface ChildWatch {
  readonly lines: EventLines;
  readonly crashes: CrashPoints;
  /** The group whose settlements are told. */
  readonly group?: string;
}

/** A broker whose every step a child can die at, and whose settlements are told. */
export class ChildBroker extends BrokerWrapper {
  readonly #watch: ChildWatch;

  constructor(inner: Broker, watch: ChildWatch) {
    super(inner);
    this.#watch = watch;
  }

  override publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const isDeadLetter = envelopes[0]?.channel.startsWith("dlq.") === true;
    return this.#watch.crashes.around(isDeadLetter ? "deadLetter" : "publish", () =>
      super.publish(envelopes, options),
    );
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const subscription = await super.subscribe(spec);
    const { group } = this.#watch;
    return group !== undefined && spec.group === group
      ? new ChildSubscription(subscription, this.#watch, group)
      : subscription;
  }
}

class ChildSubscription extends SubscriptionWrapper {
  readonly #watch: ChildWatch;
  readonly #group: string;

  constructor(inner: Subscription, watch: ChildWatch, group: string) {
    super(inner);
    this.#watch = watch;
    this.#group = group;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    const { lines, crashes } = this.#watch;
    const group = this.#group;
    const before = lines.now();
    await crashes.around("settle", () => super.settle(settlements));
    // Told once it is certain: a settlement that its process took to the grave does not bind the broker.
    const tookMs = lines.now() - before;
    for (const settlement of settlements) {
      const { id } = settlement.delivery.envelope;
      if (settlement.kind === "ack") lines.add({ type: "ack.ok", id, group });
      else if (settlement.kind !== "extend")
        lines.add({ type: settlement.kind, id, group, delayMs: Math.max(0, settlement.delayMs - tookMs) });
    }
  }
}
