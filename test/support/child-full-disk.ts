import { execFileSync } from "node:child_process";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import type { Subscription } from "../../src/core/broker.ts";
import type { Delivery } from "../../src/core/delivery.ts";
import { envelope } from "./envelopes.ts";

/** A broker on a disk of eight megabytes that fills up and is made larger; what happened goes to stdout as JSON. */
const [disk = ""] = process.argv.slice(2);
const CHANNEL = "orders.created";
const BODY = Buffer.alloc(24 * 1024, "x");

const broker = new FileBroker({ directory: `${disk}/messages` });
await broker.open();
const subscription = await broker.subscribe({
  pattern: CHANNEL,
  group: "workers",
  prefetch: 5000,
  from: "earliest",
});
const acknowledged: string[] = [];
const refusals: string[] = [];

async function publish(id: string): Promise<boolean> {
  const [result] = await broker.publish([envelope({ id, channel: CHANNEL, body: BODY })]);
  if (result?.ok === true) acknowledged.push(id);
  else refusals.push(result?.error.code ?? "");
  return result?.ok === true;
}

await publish("first");
const inHand = await subscription.receive(1, 2000);
for (let at = 0; at < 2000 && refusals.length < 20; at += 1) await publish(`before-${at}`);
const whenFull = acknowledged.length;
const settledWhenFull = await settle(subscription, inHand).catch(codeOf);
execFileSync("mount", ["-o", "remount,size=64m", disk]);
let healed = false;
for (let at = 0; at < 50 && !healed; at += 1) {
  healed = await publish(`after-${at}`);
  if (!healed) await new Promise((resolve) => setTimeout(resolve, 100));
}
const settledAfter = await settle(subscription, inHand);
const received = new Set<string>();
const again = await broker.subscribe({ pattern: CHANNEL, group: "audit", prefetch: 5000, from: "earliest" });
while (received.size < acknowledged.length) {
  const deliveries = await again.receive(500, 1000);
  if (deliveries.length === 0) break;
  for (const {
    envelope: { id, body },
  } of deliveries)
    if (BODY.equals(body)) received.add(id);
  await settle(again, deliveries);
}
await broker.close();
const lost = acknowledged.filter((id) => !received.has(id));
const invented = [...received].filter((id) => !acknowledged.includes(id));
console.log(
  JSON.stringify({
    whenFull,
    refusals: [...new Set(refusals)],
    settledWhenFull,
    settledAfter,
    healed,
    lost,
    invented,
  }),
);

async function settle(on: Subscription, deliveries: readonly Delivery[]): Promise<string> {
  await on.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
  return deliveries.length > 0 ? "settled" : "nothing came";
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
