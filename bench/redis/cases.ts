import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { createEnvelope } from "../../src/core/envelope.ts";
import { startRedis, type RedisOptions } from "../../test/support/servers/redis.ts";
import { brokerAlone, latency, steadily, wholePath } from "../engine.ts";
import type { Case } from "../memory/cases.ts";
import { PAYLOAD, quantile } from "../memory/service.ts";
import { byHand } from "./raw.ts";

const COUNT = 200_000;
const DURABLE_COUNT = 50_000;
const AGENTS = 10_000;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));
const RAW = "by hand: XADD, XREADGROUP 500, XACK";
const RAW_DURABLE = `${RAW}, fsync always`;

async function alone(server: RedisOptions, count: number): Promise<number> {
  await using redis = await startRedis(server);
  return await brokerAlone(new RedisBroker({ url: redis.url, requireDurability: "none" }), count);
}

async function whole(server: RedisOptions, count: number): Promise<number> {
  await using redis = await startRedis(server);
  return await wholePath(new RedisBroker({ url: redis.url, requireDurability: "none" }), count);
}

async function delay(fraction: number): Promise<number> {
  await using redis = await startRedis({ appendfsync: "everysec" });
  return await latency(new RedisBroker({ url: redis.url }), { fraction });
}

interface Crowd {
  readonly p95Ms: number;
  readonly connections: number;
  readonly kilobytes: number;
}

/** Ten thousand agents of one process, each with a subscription to its own channel, at a thousand messages a second. */
async function crowd(): Promise<Crowd> {
  await using redis = await startRedis({ appendfsync: "everysec" });
  const broker = new RedisBroker({ url: redis.url });
  await broker.open();
  const gc = (globalThis as { gc?: () => void }).gc ?? (() => undefined);
  gc();
  const before = process.memoryUsage().heapUsed;
  const samples: number[] = [];
  const publishedAt = new Map<string, number>();
  let isOver = false;
  const loops: Promise<void>[] = [];
  for (let n = 0; n < AGENTS; n++) {
    const spec = { pattern: `agent-${n}`, group: `agent-${n}`, prefetch: 10 };
    const subscription = await broker.subscribe(spec);
    const loop = async (): Promise<void> => {
      while (!isOver) {
        const deliveries = await subscription.receive(10, 30_000);
        const now = performance.now();
        for (const { envelope } of deliveries) samples.push(now - (publishedAt.get(envelope.id) ?? now));
        await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
      }
    };
    loops.push(loop());
  }
  gc();
  const kilobytes = (process.memoryUsage().heapUsed - before) / AGENTS / 1024;
  await steadily(5000, 1000, (n) => {
    const id = `m${n}`;
    publishedAt.set(id, performance.now());
    const channel = `agent-${(n * 7919) % AGENTS}`;
    return broker.publish([createEnvelope({ id, channel, source: "bench", time: Date.now(), body: BODY })]);
  });
  while (samples.length < 5000) await new Promise((resolve) => setTimeout(resolve, 10));
  const clients =
    String(await redis.command("CLIENT", "LIST"))
      .trim()
      .split("\n").length - 1;
  isOver = true;
  await broker.close();
  await Promise.allSettled(loops);
  return { p95Ms: quantile(samples.slice(500), 0.95), connections: clients, kilobytes };
}

const FAST: RedisOptions = { appendonly: false };

/** Herald over Redis Streams beside the same client used by hand, each on a Redis of its own, set up alike. */
export const REDIS_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => byHand(FAST, COUNT) },
  { name: "Redis broker", unit: "messages/s", against: RAW, run: () => alone(FAST, COUNT) },
  {
    name: "MessagingService over Redis",
    unit: "messages/s",
    against: RAW,
    run: () => whole(FAST, COUNT),
  },
  { name: RAW_DURABLE, unit: "messages/s", run: () => byHand({}, DURABLE_COUNT) },
  {
    name: "Redis broker, fsync always",
    unit: "messages/s",
    against: RAW_DURABLE,
    run: () => alone({}, DURABLE_COUNT),
  },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => delay(0.95) },
  { name: "10,000 agents at 1,000/s, p95", unit: "ms", run: async () => (await crowd()).p95Ms },
  { name: "10,000 agents, connections", unit: "", run: async () => (await crowd()).connections },
  { name: "10,000 agents, heap an agent", unit: "KB", run: async () => (await crowd()).kilobytes },
];
