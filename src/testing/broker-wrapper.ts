import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../core/broker.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import type { Envelope } from "../core/envelope.ts";

/** A broker that hands every call on to another: the base of those that watch, fail or lie. */
export class BrokerWrapper implements Broker {
  readonly name: string;
  readonly admin?: BrokerAdmin;
  protected readonly inner: Broker;

  constructor(inner: Broker) {
    this.name = inner.name;
    this.inner = inner;
    if (inner.admin !== undefined) this.admin = inner.admin;
  }

  open(signal?: AbortSignal): Promise<Capabilities> {
    return this.inner.open(signal);
  }

  publish(envelopes: readonly Envelope[], options?: BrokerPublishOptions): Promise<readonly PublishResult[]> {
    return this.inner.publish(envelopes, options);
  }

  subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    return this.inner.subscribe(spec);
  }

  inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    return this.inner.inspect(query);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

/** A subscription that hands every call on to another. */
export class SubscriptionWrapper implements Subscription {
  protected readonly inner: Subscription;

  constructor(inner: Subscription) {
    this.inner = inner;
  }

  receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    return this.inner.receive(limit, waitMs);
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.inner.settle(settlements);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
