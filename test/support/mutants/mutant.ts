import type {
  Broker,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../../src/core/broker.ts";
import type { Delivery, Settlement } from "../../../src/core/delivery.ts";
import type { Envelope } from "../../../src/core/envelope.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../../../src/core/broker-wrapper.ts";

/** One seeded fault: a broker that is right but for this. */
export interface Mutant {
  readonly name: string;
  /** What the checker or a case should call it. */
  readonly expected: string;
  /** Cases that are likely to notice are run first; every other case follows. */
  readonly near: readonly string[];
  readonly wrap: (broker: Broker) => Broker;
}

/** What a mutant may do differently. Each gets the true call and may change what goes in, what comes out, or both. */
export interface Twists {
  readonly capabilities?: (capabilities: Capabilities) => Capabilities;
  readonly publish?: (
    envelopes: readonly Envelope[],
    next: (envelopes: readonly Envelope[]) => Promise<readonly PublishResult[]>,
  ) => Promise<readonly PublishResult[]>;
  readonly publishOptions?: (options: BrokerPublishOptions | undefined) => BrokerPublishOptions | undefined;
  readonly subscribe?: (spec: SubscriptionSpec) => SubscriptionSpec;
  readonly receive?: (
    limit: number,
    waitMs: number,
    next: (limit: number, waitMs: number) => Promise<readonly Delivery[]>,
  ) => Promise<readonly Delivery[]>;
  readonly deliver?: (delivery: Delivery) => Delivery;
  readonly settle?: (settlement: Settlement) => Settlement;
  readonly close?: (inner: Subscription) => Promise<void>;
  readonly inspect?: (report: BrokerReport) => BrokerReport;
}

/** A broker with twists. */
export function twist(broker: Broker, twists: Twists): Broker {
  return new TwistedBroker(broker, twists);
}

class TwistedBroker extends BrokerWrapper {
  readonly #twists: Twists;

  constructor(inner: Broker, twists: Twists) {
    super(inner);
    this.#twists = twists;
  }

  override async open(signal?: AbortSignal): Promise<Capabilities> {
    const capabilities = await this.inner.open(signal);
    return this.#twists.capabilities?.(capabilities) ?? capabilities;
  }

  override publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const { publish, publishOptions } = this.#twists;
    const chosen = publishOptions === undefined ? options : publishOptions(options);
    const next = (changed: readonly Envelope[]) => this.inner.publish(changed, chosen);
    return publish === undefined ? next(envelopes) : publish(envelopes, next);
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const subscription = await this.inner.subscribe(this.#twists.subscribe?.(spec) ?? spec);
    return new TwistedSubscription(subscription, this.#twists);
  }

  override async inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    const report = await this.inner.inspect(query);
    return this.#twists.inspect?.(report) ?? report;
  }
}

class TwistedSubscription extends SubscriptionWrapper {
  readonly #twists: Twists;
  // What was handed out, by the delivery that the other side knows.
  readonly #true = new WeakMap<Delivery, Delivery>();

  constructor(inner: Subscription, twists: Twists) {
    super(inner);
    this.#twists = twists;
  }

  override async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const { receive, deliver } = this.#twists;
    const next = (most: number, forMs: number) => this.inner.receive(most, forMs);
    const deliveries = await (receive === undefined ? next(limit, waitMs) : receive(limit, waitMs, next));
    if (deliver === undefined) return deliveries;
    return deliveries.map((delivery) => {
      const changed = deliver(delivery);
      this.#true.set(changed, delivery);
      return changed;
    });
  }

  override settle(settlements: readonly Settlement[]): Promise<void> {
    const { settle } = this.#twists;
    const meant = settlements.map((settlement): Settlement => {
      const changed = settle?.(settlement) ?? settlement;
      return { ...changed, delivery: this.#true.get(changed.delivery) ?? changed.delivery };
    });
    return this.inner.settle(meant);
  }

  override async close(): Promise<void> {
    await this.#twists.close?.(this.inner);
    await this.inner.close();
  }
}

/** True once in every `n` calls, the n-th first. */
export function oneIn(n: number): () => boolean {
  let calls = 0;
  return () => ++calls % n === 0;
}
