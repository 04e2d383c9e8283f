import { RabbitBroker } from "../../src/brokers/rabbitmq/broker.ts";
import { createEnvelope } from "../../src/core/envelope.ts";
import { startRabbit } from "../../test/support/servers/rabbitmq.ts";
import type { Case } from "../memory/cases.ts";
import { Arrivals, PAYLOAD, pump, quantile, startService } from "../memory/service.ts";
import { byHand } from "./raw.ts";

const COUNT = 20_000;
const WINDOW = 1000;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));
const RAW = "by hand: confirmed publish, consume, ack";

/** Broker alone: batches published, received, acknowledged. */
async function brokerAlone(count: number): Promise<number> {
  await using rabbit = await startRabbit();
  const broker = new RabbitBroker({ url: rabbit.url });
  await broker.open();
  const subscription = await broker.subscribe({ pattern: "bench", group: "g", prefetch: WINDOW });
  const startedAt = performance.now();
  const reading = (async () => {
    const settling: Promise<void>[] = [];
    for (let got = 0; got < count;) {
      const deliveries = await subscription.receive(500, 10_000);
      for (const { envelope } of deliveries) JSON.parse(Buffer.from(envelope.body).toString("utf8"));
      got += deliveries.length;
      settling.push(subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery }))));
    }
    await Promise.all(settling);
  })();
  for (let sent = 0; sent < count; sent += WINDOW) {
    const batch = Array.from({ length: WINDOW }, (_none, n) =>
      createEnvelope({
        id: `0190b8a0-0000-7000-8000-${String(sent + n).padStart(12, "0")}`,
        channel: "bench",
        source: "bench",
        time: Date.now(),
        body: BODY,
      }),
    );
    await broker.publish(batch);
  }
  await reading;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await broker.close();
  return rate;
}

/** The whole path through MessagingService, at-least-once, retry and dead letters armed. */
async function wholePath(count: number): Promise<number> {
  await using rabbit = await startRabbit();
  await using service = await startService({ broker: new RabbitBroker({ url: rabbit.url }) });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived(), { prefetch: 1000 });
  return await pump(count, arrivals, () => service.publish("bench.messages", PAYLOAD));
}

/** Publish to handled at a steady 1,000 messages a second, milliseconds. */
async function latency(fraction: number): Promise<number> {
  await using rabbit = await startRabbit();
  await using service = await startService({ broker: new RabbitBroker({ url: rabbit.url }) });
  const samples: number[] = [];
  await service.subscribe<{ at: number }>("bench.messages", async ({ payload }) => {
    samples.push(performance.now() - payload.at);
  });
  const startedAt = performance.now();
  const calls: Promise<unknown>[] = [];
  while (calls.length < 5000) {
    const due = Math.min(5000, Math.floor(performance.now() - startedAt));
    while (calls.length < due)
      calls.push(service.publish("bench.messages", { ...PAYLOAD, at: performance.now() }));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(calls);
  return quantile(samples.slice(500), fraction);
}

/** Herald over RabbitMQ beside the same client used by hand, each on a server of its own, over a quorum queue. */
export const RABBITMQ_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => byHand(COUNT) },
  { name: "RabbitMQ broker", unit: "messages/s", against: RAW, run: () => brokerAlone(COUNT) },
  { name: "MessagingService over RabbitMQ", unit: "messages/s", against: RAW, run: () => wholePath(COUNT) },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => latency(0.95) },
];
