import { KafkaBroker } from "../../src/brokers/kafka/broker.ts";
import { createEnvelope } from "../../src/core/envelope.ts";
import { startKafka } from "../../test/support/servers/kafka.ts";
import { brokerAlone, latency, steadily, wholePath } from "../engine.ts";
import type { Case } from "../memory/cases.ts";
import { PAYLOAD, quantile, startService } from "../memory/service.ts";
import { byHand } from "./raw.ts";

const COUNT = 100_000;
/** Agents that subscribe together. */
const TOGETHER = 2000;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));
const RAW = "by hand: Producer of 1,000, Consumer, commit";

async function alone(): Promise<number> {
  await using kafka = await startKafka();
  return await brokerAlone(new KafkaBroker({ url: kafka.url, partitions: 1 }), COUNT);
}

async function whole(): Promise<number> {
  await using kafka = await startKafka();
  return await wholePath(new KafkaBroker({ url: kafka.url, partitions: 1 }), COUNT);
}

const ONE_BY_ONE = "published one after the other";

/** Publishes so many messages at a time, each time waiting until Kafka has all of them; microseconds a message. */
async function publishing(atOnce: number): Promise<number> {
  await using kafka = await startKafka();
  await using service = await startService({ broker: new KafkaBroker({ url: kafka.url, partitions: 1 }) });
  const rounds = Math.max(100, Math.floor(2000 / atOnce));
  const publish = () => service.publish("bench.messages", PAYLOAD);
  const round = () => Promise.all(Array.from({ length: atOnce }, publish));
  for (let n = 0; n < rounds / 10; n++) await round();
  const startedAt = performance.now();
  for (let n = 0; n < rounds; n++) await round();
  return ((performance.now() - startedAt) * 1000) / (rounds * atOnce);
}

async function delay(perSecond: number): Promise<number> {
  await using kafka = await startKafka();
  const broker = new KafkaBroker({ url: kafka.url });
  return await latency(broker, { fraction: 0.95, perSecond, skipped: perSecond });
}

interface Crowd {
  readonly p95Ms: number;
  readonly kilobytes: number;
}

/** Agents of one process, each with a group and a subscription to its own inbox, at a thousand messages a second. */
async function crowd(size: number): Promise<Crowd> {
  // Kafka keeps what it knows of every group in memory.
  await using kafka = await startKafka({ java: ["-Xmx1g"] });
  const broker = new KafkaBroker({ url: kafka.url });
  await broker.open();
  const gc = (globalThis as { gc?: () => void }).gc ?? (() => undefined);
  gc();
  const before = process.memoryUsage().heapUsed;
  const samples: number[] = [];
  const publishedAt = new Map<string, number>();
  let isOver = false;
  const start = async (n: number): Promise<() => Promise<void>> => {
    const spec = { pattern: `agent-${n}`, group: `agent-${n}`, prefetch: 10 };
    const subscription = await broker.subscribe(spec);
    return async () => {
      while (!isOver) {
        const deliveries = await subscription.receive(10, 30_000);
        const now = performance.now();
        for (const { envelope } of deliveries) samples.push(now - (publishedAt.get(envelope.id) ?? now));
        await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
      }
    };
  };
  const agents: (() => Promise<void>)[] = [];
  for (let from = 0; from < size; from += TOGETHER) {
    const count = Math.min(TOGETHER, size - from);
    agents.push(...(await Promise.all(Array.from({ length: count }, (_none, n) => start(from + n)))));
  }
  const loops = agents.map((run) => run());
  gc();
  const kilobytes = (process.memoryUsage().heapUsed - before) / size / 1024;
  await steadily(5000, 1000, (n) => {
    const id = `m${n}`;
    publishedAt.set(id, performance.now());
    const channel = `agent-${(n * 7919) % size}`;
    return broker.publish([createEnvelope({ id, channel, source: "bench", time: Date.now(), body: BODY })]);
  });
  while (samples.length < 5000) await new Promise((resolve) => setTimeout(resolve, 10));
  isOver = true;
  await broker.close();
  await Promise.allSettled(loops);
  return { p95Ms: quantile(samples.slice(1000), 0.95), kilobytes };
}

/** Herald over Kafka beside the same client used by hand, each on a Kafka of its own, one partition, acknowledged by all replicas. */
export const KAFKA_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => byHand(COUNT) },
  { name: "Kafka broker", unit: "messages/s", against: RAW, run: () => alone() },
  { name: "MessagingService over Kafka", unit: "messages/s", against: RAW, run: () => whole() },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => delay(1000) },
  { name: "publish to handled at 10,000/s, p95", unit: "ms", run: () => delay(10_000) },
  { name: ONE_BY_ONE, unit: "µs a message", run: () => publishing(1) },
  {
    name: "published a hundred together",
    unit: "µs a message",
    against: ONE_BY_ONE,
    run: () => publishing(100),
  },
  { name: "1,000 agents at 1,000/s, p95", unit: "ms", run: async () => (await crowd(1000)).p95Ms },
  { name: "1,000 agents, heap an agent", unit: "KB", run: async () => (await crowd(1000)).kilobytes },
  { name: "100,000 agents at 1,000/s, p95", unit: "ms", run: async () => (await crowd(100_000)).p95Ms },
  { name: "100,000 agents, heap an agent", unit: "KB", run: async () => (await crowd(100_000)).kilobytes },
];
