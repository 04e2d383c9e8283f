import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { createEnvelope } from "../../src/core/envelope.ts";
import { startRedis, type RedisOptions } from "../../test/support/servers/redis.ts";
import type { Case } from "../memory/cases.ts";
import { Arrivals, PAYLOAD, pump, quantile, startService } from "../memory/service.ts";
import { byHand } from "./raw.ts";

const COUNT = 200_000;
const DURABLE_COUNT = 50_000;
const WINDOW = 1000;
const AGENTS = 10_000;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));
const RAW = "by hand: XADD, XREADGROUP 500, XACK";
const RAW_DURABLE = `${RAW}, fsync always`;

/** Broker alone: batches published, received, acknowledged. */
async function brokerAlone(server: RedisOptions, count: number): Promise<number> {
  await using redis = await startRedis(server);
  const broker = new RedisBroker({ url: redis.url, requireDurability: "none" });
  await broker.open();
  const subscription = await broker.subscribe({ pattern: "bench", group: "g", prefetch: WINDOW });
  const startedAt = performance.now();
  const reading = (async () => {
    for (let got = 0; got < count;) {
      const deliveries = await subscription.receive(500, 10_000);
      for (const { envelope } of deliveries) JSON.parse(Buffer.from(envelope.body).toString("utf8"));
      got += deliveries.length;
      void subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
    }
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
async function wholePath(server: RedisOptions, count: number): Promise<number> {
  await using redis = await startRedis(server);
  const broker = new RedisBroker({ url: redis.url, requireDurability: "none" });
  await using service = await startService({ broker });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived(), { prefetch: 1000 });
  return await pump(count, arrivals, () => service.publish("bench.messages", PAYLOAD));
}

/** Calls at a steady thousand a second. */
async function steadily(count: number, call: (n: number) => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  const calls: Promise<unknown>[] = [];
  while (calls.length < count) {
    const due = Math.min(count, Math.floor(performance.now() - startedAt));
    while (calls.length < due) calls.push(call(calls.length));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(calls);
}

/** Publish to handled at a steady 1,000 messages a second, milliseconds. */
async function latency(fraction: number): Promise<number> {
  await using redis = await startRedis({ appendfsync: "everysec" });
  await using service = await startService({ broker: new RedisBroker({ url: redis.url }) });
  const samples: number[] = [];
  await service.subscribe<{ at: number }>("bench.messages", async ({ payload }) => {
    samples.push(performance.now() - payload.at);
  });
  await steadily(5000, () => service.publish("bench.messages", { ...PAYLOAD, at: performance.now() }));
  return quantile(samples.slice(500), fraction);
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
  await steadily(5000, (n) => {
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
  { name: "Redis broker", unit: "messages/s", against: RAW, run: () => brokerAlone(FAST, COUNT) },
  {
    name: "MessagingService over Redis",
    unit: "messages/s",
    against: RAW,
    run: () => wholePath(FAST, COUNT),
  },
  { name: RAW_DURABLE, unit: "messages/s", run: () => byHand({}, DURABLE_COUNT) },
  {
    name: "Redis broker, fsync always",
    unit: "messages/s",
    against: RAW_DURABLE,
    run: () => brokerAlone({}, DURABLE_COUNT),
  },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => latency(0.95) },
  { name: "10,000 agents at 1,000/s, p95", unit: "ms", run: async () => (await crowd()).p95Ms },
  { name: "10,000 agents, connections", unit: "", run: async () => (await crowd()).connections },
  { name: "10,000 agents, heap an agent", unit: "KB", run: async () => (await crowd()).kilobytes },
];
