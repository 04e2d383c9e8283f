import type { Broker, Capabilities, Subscription, SubscriptionSpec } from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../../core/broker-wrapper.ts";
import type { CaseRecords } from "./recorded-broker.ts";

/**
 * An open broker as it is lent to a service: opening gives what opening gave, closing leaves it open for the others.
 * What services settle is written into the history; what they publish is recorded where they are asked to.
 */
export class SharedBroker extends BrokerWrapper {
  readonly #capabilities: Capabilities;
  readonly #records: CaseRecords;
  #broadcasts = 0;

  constructor(inner: Broker, capabilities: Capabilities, records: CaseRecords) {
    super(inner);
    this.#capabilities = capabilities;
    this.#records = records;
  }

  override open(): Promise<Capabilities> {
    return Promise.resolve(this.#capabilities);
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const subscription = await this.inner.subscribe(spec);
    return new SharedSubscription(
      subscription,
      spec.group ?? `broadcast:${++this.#broadcasts}`,
      this.#records,
    );
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

class SharedSubscription extends SubscriptionWrapper {
  readonly #group: string;
  readonly #records: CaseRecords;

  constructor(inner: Subscription, group: string, records: CaseRecords) {
    super(inner);
    this.#group = group;
    this.#records = records;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    const visible = settlements.filter(
      ({ kind, delivery }) => kind !== "extend" && this.#isRecorded(delivery),
    );
    for (const settlement of visible) this.#before(settlement);
    let arrived: "ack.ok" | "ack.info" = "ack.info";
    try {
      await this.inner.settle(settlements);
      arrived = "ack.ok";
    } finally {
      for (const { kind, delivery } of visible) {
        if (kind === "ack" || arrived === "ack.info")
          this.#records.history.add({ type: arrived, id: delivery.envelope.id, group: this.#group });
      }
    }
  }

  #before(settlement: Settlement): void {
    if (settlement.kind !== "nack" && settlement.kind !== "release") return;
    const { kind, delivery, delayMs } = settlement;
    this.#records.history.add({ type: kind, id: delivery.envelope.id, group: this.#group, delayMs });
  }

  /** Requests, replies and dead letters pass beside the messages that a case counts. */
  #isRecorded({ envelope }: Delivery): boolean {
    return this.#records.published.has(envelope.id) && !envelope.channel.startsWith("dlq.");
  }
}
