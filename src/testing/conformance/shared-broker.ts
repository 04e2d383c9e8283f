import type { Broker, Capabilities, Subscription, SubscriptionSpec } from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../broker-wrapper.ts";
import type { History } from "../checker/history.ts";

/**
 * An open broker as it is lent to a service: opening gives what opening gave, closing leaves it open for the others.
 * What services settle is written into the history; what they publish is recorded where they are asked to.
 */
export class SharedBroker extends BrokerWrapper {
  readonly #capabilities: Capabilities;
  readonly #history: History;
  #broadcasts = 0;

  constructor(inner: Broker, capabilities: Capabilities, history: History) {
    super(inner);
    this.#capabilities = capabilities;
    this.#history = history;
  }

  override open(): Promise<Capabilities> {
    return Promise.resolve(this.#capabilities);
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const subscription = await this.inner.subscribe(spec);
    return new SharedSubscription(
      subscription,
      spec.group ?? `broadcast:${++this.#broadcasts}`,
      this.#history,
    );
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

class SharedSubscription extends SubscriptionWrapper {
  readonly #group: string;
  readonly #history: History;

  constructor(inner: Subscription, group: string, history: History) {
    super(inner);
    this.#group = group;
    this.#history = history;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    const visible = settlements.filter(({ kind, delivery }) => kind !== "extend" && isRecorded(delivery));
    for (const settlement of visible) this.#before(settlement);
    let arrived: "ack.ok" | "ack.info" = "ack.info";
    try {
      await this.inner.settle(settlements);
      arrived = "ack.ok";
    } finally {
      for (const { kind, delivery } of visible) {
        if (kind === "ack" || arrived === "ack.info")
          this.#history.add({ type: arrived, id: delivery.envelope.id, group: this.#group });
      }
    }
  }

  #before(settlement: Settlement): void {
    if (settlement.kind !== "nack" && settlement.kind !== "release") return;
    const { kind, delivery, delayMs } = settlement;
    this.#history.add({ type: kind, id: delivery.envelope.id, group: this.#group, delayMs });
  }
}

/** Replies, requests and dead letters live beside the messages that a case counts. */
function isRecorded({ envelope }: Delivery): boolean {
  return (
    envelope.replyTo === undefined &&
    !envelope.channel.startsWith("dlq.") &&
    !envelope.channel.startsWith("reply.")
  );
}
