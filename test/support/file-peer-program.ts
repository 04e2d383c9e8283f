import { createInterface } from "node:readline";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import type { Subscription, SubscriptionSpec } from "../../src/core/broker.ts";
import type { Delivery } from "../../src/core/delivery.ts";
import { envelope } from "./envelopes.ts";

/** One line to this program: a file broker in a process of its own, told what to do. */
export type Order =
  | { readonly op: "open"; readonly directory: string; readonly leaseMs: number }
  | { readonly op: "subscribe"; readonly spec: SubscriptionSpec }
  | {
      readonly op: "publish";
      readonly ids: readonly string[];
      readonly key?: string;
      readonly dedupe?: boolean;
    }
  | { readonly op: "receive"; readonly limit: number; readonly waitMs: number }
  | { readonly op: "settle"; readonly kind: "ack" | "nack" | "release"; readonly ids: readonly string[] }
  | { readonly op: "close" };

let broker: FileBroker;
let subscription: Subscription;
const held = new Map<string, Delivery>();

async function obey(order: Order): Promise<unknown> {
  switch (order.op) {
    case "open":
      broker = new FileBroker(order);
      return (await broker.open()).durability;
    case "subscribe":
      subscription = await broker.subscribe(order.spec);
      return null;
    case "publish": {
      const key = order.key === undefined ? {} : { key: order.key };
      const results = await broker.publish(
        order.ids.map((id) => envelope({ id, ...key })),
        { dedupe: order.dedupe === true },
      );
      return results.map((result) =>
        result.ok ? (result.deduplicated ? "known" : "stored") : result.error.code,
      );
    }
    case "receive": {
      const deliveries = await subscription.receive(order.limit, order.waitMs);
      for (const delivery of deliveries) held.set(delivery.envelope.id, delivery);
      return deliveries.map((delivery) => [delivery.envelope.id, delivery.attempt]);
    }
    case "settle":
      await subscription.settle(
        order.ids.map((id) => ({ kind: order.kind, delivery: held.get(id) as Delivery, delayMs: 0 })),
      );
      return null;
    case "close":
      await broker.close();
      return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(JSON.parse(line) as Order).catch((error: Error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
