import { expect, vi } from "vitest";
import type { Subscription } from "../../src/core/broker.ts";
import type { Delivery } from "../../src/core/delivery.ts";

/** What a busy machine may add to a limit on real time, milliseconds. What hangs, or grows without bound, takes longer still. */
export const BUSY_MS = 5000;

/** How long a condition or a message that is sure to come may take. */
const SURE_MS = 60_000;

/** Exactly `count` deliveries. */
export async function take(subscription: Subscription, count: number): Promise<Delivery[]> {
  const taken: Delivery[] = [];
  const until = performance.now() + SURE_MS;
  while (taken.length < count && performance.now() < until)
    taken.push(...(await subscription.receive(count - taken.length, 500)));
  expect(taken).toHaveLength(count);
  return taken;
}

/** Acknowledges. */
export async function ack(subscription: Subscription, deliveries: readonly Delivery[]): Promise<void> {
  await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
}

/** The ids of deliveries. */
export function idsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ envelope }) => envelope.id);
}

/** Waits for a condition. */
export function until(condition: () => unknown): Promise<void> {
  return vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error("The condition did not come true in time.");
    },
    { timeout: SURE_MS, interval: 10 },
  );
}

/** Receives and acknowledges until every one of the ids has come. */
export async function takeAll(subscription: Subscription, ids: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  await until(async () => {
    const deliveries = await subscription.receive(1000, 200);
    for (const id of idsOf(deliveries)) seen.add(id);
    await ack(subscription, deliveries);
    return ids.every((id) => seen.has(id));
  });
}
