import { MemoryBroker, type MemoryBrokerOptions } from "../../src/brokers/memory/broker.ts";
import type {
  BrokerPublishOptions,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../src/core/broker.ts";
import type { Delivery } from "../../src/core/delivery.ts";
import type { EnvelopeInit } from "../../src/core/envelope.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { envelope } from "./envelopes.ts";

/** A memory broker on a fake clock, with short words for what its tests do. */
export async function opened(options: MemoryBrokerOptions = {}) {
  const clock = new FakeClock();
  const broker = new MemoryBroker({ clock, ...options });
  const capabilities = await broker.open();
  const publish = async (
    ids: readonly string[],
    init: Partial<EnvelopeInit> = {},
    more?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> =>
    broker.publish(
      ids.map((id) => envelope({ id, time: clock.now(), ...init })),
      more,
    );
  const subscribe = (pattern = "c", more: Partial<SubscriptionSpec> = {}): Promise<Subscription> =>
    broker.subscribe({ pattern, group: "g", prefetch: 1000, ...more });
  const report = async (channel = "c") => (await broker.inspect({ channels: [channel] })).channels[0];
  return { clock, broker, capabilities, publish, subscribe, report };
}

/** The ids of what a subscription has ready, which it then holds. */
export async function take(subscription: Subscription, limit = 1000): Promise<readonly Delivery[]> {
  return subscription.receive(limit, 0);
}

/** The ids of deliveries. */
export function idsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ envelope: { id } }) => id);
}

/** Takes what is ready and acknowledges it; the ids. */
export async function drain(subscription: Subscription, limit = 1000): Promise<string[]> {
  const deliveries = await take(subscription, limit);
  await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
  return idsOf(deliveries);
}

/** `ok`, or the code of the error, of each result. */
export function codesOf(results: readonly PublishResult[]): string[] {
  return results.map((result) => (result.ok ? "ok" : result.error.code));
}

/** `prefix0`, `prefix1`, … */
export function names(count: number, prefix = "m"): string[] {
  return Array.from({ length: count }, (_none, at) => `${prefix}${at}`);
}
