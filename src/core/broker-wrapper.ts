import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "./broker.ts";
import type { Delivery, Settlement } from "./delivery.ts";
import type { Envelope } from "./envelope.ts";
import type { Inbox, InboxOptions, Stores } from "./store.ts";

/** A broker that hands every call on to another: the base of those that add something, watch, fail or lie. */
export class BrokerWrapper implements Broker {
  readonly name: string;
  readonly admin?: BrokerAdmin;
  readonly createInbox?: (options: InboxOptions) => Inbox;
  readonly createStores?: () => Stores;
  readonly capabilitiesOf?: (pattern: string) => Capabilities;
  protected readonly inner: Broker;

  constructor(inner: Broker) {
    this.name = inner.name;
    this.inner = inner;
    if (inner.admin !== undefined) this.admin = inner.admin;
    if (inner.createInbox !== undefined)
      this.createInbox = (options) => inner.createInbox?.(options) as Inbox;
    if (inner.createStores !== undefined) this.createStores = () => inner.createStores?.() as Stores;
    if (inner.capabilitiesOf !== undefined)
      this.capabilitiesOf = (pattern) => this.adapt(inner.capabilitiesOf?.(pattern) as Capabilities);
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    return this.adapt(await this.inner.open(signal));
  }

  /** What it can do, from what the other can. */
  protected adapt(capabilities: Capabilities): Capabilities {
    return capabilities;
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

  async giveBackUnread(): Promise<void> {
    await this.inner.giveBackUnread?.();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
