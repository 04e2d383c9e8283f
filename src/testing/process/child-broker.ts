import type {
  Broker,
  BrokerPublishOptions,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
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
  /** Until when a delivery is surely ours: what is settled later may be another's by then, and is ignored where it is. */
  readonly #ours = new WeakMap<Delivery, number>();

  constructor(inner: Subscription, watch: ChildWatch, group: string) {
    super(inner);
    this.#watch = watch;
    this.#group = group;
  }

  override async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const deliveries = await super.receive(limit, waitMs);
    const now = this.#watch.lines.now();
    for (const delivery of deliveries) this.#ours.set(delivery, now + surelyMs(delivery));
    return deliveries;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    const { lines, crashes } = this.#watch;
    const before = lines.now();
    await crashes.around("settle", () => super.settle(settlements));
    // Told once it is certain: a settlement that its process took to the grave does not bind the broker.
    for (const settlement of settlements) this.#tell(settlement, before);
  }

  #tell(settlement: Settlement, before: number): void {
    const { lines } = this.#watch;
    const group = this.#group;
    const { kind, delivery } = settlement;
    const { id } = delivery.envelope;
    const now = lines.now();
    const isOurs = now < (this.#ours.get(delivery) ?? 0);
    if (kind === "extend") {
      if (isOurs) this.#ours.set(delivery, before + surelyMs(delivery));
    } else if (!isOurs) lines.add({ type: "ack.info", id, group });
    else if (kind === "ack") lines.add({ type: "ack.ok", id, group });
    else lines.add({ type: kind, id, group, delayMs: Math.max(0, settlement.delayMs - (now - before)) });
  }
}

/** A lease begins before its delivery is received. */
function surelyMs({ leaseMs }: Delivery): number {
  return leaseMs === null ? Infinity : leaseMs / 2;
}
