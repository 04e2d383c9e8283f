import { MemoryBroker, type MessagingServiceOptions } from "../../src/index.ts";
import { steadily } from "../engine.ts";
import { Arrivals, PAYLOAD, pump, quantile, startService } from "./service.ts";

/** One measurement: runs in a process of its own, several times, interleaved with the others. */
export interface Case {
  readonly name: string;
  readonly unit: string;
  /** The case whose figure this one is set beside, as a ratio. */
  readonly against?: string;
  readonly run: () => Promise<number>;
}

const SCHEMA = {
  type: "object",
  properties: {
    id: { type: "integer" },
    kind: { type: "string" },
    ok: { type: "boolean" },
    text: { type: "string", maxLength: 200 },
  },
  required: ["id", "kind", "ok", "text"],
};

/** The whole path through MessagingService, at-least-once, retry and dead letters armed. */
async function wholePath(): Promise<number> {
  await using service = await startService();
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived());
  const publish = (): Promise<unknown> => service.publish("bench.messages", PAYLOAD);
  return await pump(1_000_000, arrivals, publish);
}

/** The whole path with something switched on that is off by default. */
function guarded(options: Partial<MessagingServiceOptions>): () => Promise<number> {
  return async () => {
    await using service = await startService(options);
    const arrivals = new Arrivals();
    await service.subscribe("bench.messages", async () => arrivals.arrived());
    return await pump(300_000, arrivals, () => service.publish("bench.messages", PAYLOAD));
  };
}

async function withSchema(): Promise<number> {
  const messaging = {
    publishes: [{ channel: "bench.messages", schema: SCHEMA }],
    subscribes: [{ channel: "bench.messages", schema: SCHEMA }],
  };
  await using service = await startService({ messaging });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived());
  return await pump(600_000, arrivals, () => service.publish("bench.messages", PAYLOAD));
}

async function requestReply(): Promise<number> {
  await using service = await startService();
  await service.registerCommandHandler("echo", async (input) => input);
  const count = 200_000;
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += 250) {
    const burst: Promise<unknown>[] = [];
    for (let i = 0; i < 250; i++) burst.push(service.sendCommand("bench", "echo", { n: i }));
    await Promise.all(burst);
  }
  return (count / (performance.now() - startedAt)) * 1000;
}

/** Publish to handled at a steady 1,000 messages a second, 99th percentile, milliseconds. */
async function latency(): Promise<number> {
  await using service = await startService();
  const samples: number[] = [];
  await service.subscribe<{ at: number }>("bench.messages", async (message) => {
    samples.push(performance.now() - message.payload.at);
  });
  await steadily(5000, 1000, () => service.publish("bench.messages", { ...PAYLOAD, at: performance.now() }));
  return quantile(samples.slice(500), 0.99);
}

/** 10,000 subscriptions of one service, each with a channel of its own: what a publish then takes, 99th percentile. */
async function manySubscriptions(): Promise<number> {
  await using service = await startService();
  let handled = 0;
  for (let i = 0; i < 10_000; i++) await service.subscribe(`bench.agent-${i}`, async () => void handled++);
  const samples: number[] = [];
  await steadily(5000, 1000, async () => {
    const startedAt = performance.now();
    await service.publish(`bench.agent-${samples.length % 10_000}`, PAYLOAD);
    samples.push(performance.now() - startedAt);
  });
  return quantile(samples.slice(500), 0.99);
}

/** Resident memory with 1,000,000 messages of 256 bytes waiting for a group that is away, MB. */
async function backlog(): Promise<number> {
  const broker = new MemoryBroker();
  await using service = await startService({ broker });
  const subscription = await service.subscribe("bench.messages", async () => {});
  await subscription.unsubscribe();
  const payload = { text: "x".repeat(245) };
  for (let sent = 0; sent < 1_000_000; sent += 1000) {
    await Promise.all(Array.from({ length: 1000 }, () => service.publish("bench.messages", payload)));
  }
  const [lag] = await service.getConsumerLag({ channel: "bench.messages" });
  if (lag?.lag !== 1_000_000) throw new Error(`The backlog holds ${lag?.lag} messages, not 1,000,000.`);
  return process.memoryUsage().rss / 1e6;
}

/** How much more heap is in use after 10,000,000 messages than after the first million, MB. */
async function flatHeap(): Promise<number> {
  await using service = await startService();
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived());
  let sent = 0;
  const more = async (count: number): Promise<number> => {
    for (const end = sent + count; sent < end; sent += 500) {
      await Promise.all(Array.from({ length: 500 }, () => service.publish("bench.messages", PAYLOAD)));
      await arrivals.reached(sent + 250);
    }
    await arrivals.reached(sent);
    globalThis.gc?.();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const early = await more(1_000_000);
  return (await more(9_000_000)) - early;
}

/** Herald's own cases, in the order of the report. */
export const CASES: readonly Case[] = [
  { name: "whole path, at-least-once", unit: "messages/s", run: wholePath },
  {
    name: "whole path, schema validation both sides",
    unit: "messages/s",
    against: "whole path, at-least-once",
    run: withSchema,
  },
  ...(
    [
      ["circuit breakers", { circuitBreaker: true }],
      ["a budget of hops and time, loops detected", { budget: { hops: 16, deadlineMs: 3_600_000 } }],
      ["a budget of messages", { budget: { messages: 1_000_000 } }],
      ["provenance", { provenance: true }],
    ] as const
  ).map(([what, options]) => ({
    name: `whole path, ${what}`,
    unit: "messages/s",
    against: "whole path, at-least-once",
    run: guarded(options),
  })),
  { name: "request and reply", unit: "requests/s", run: requestReply },
  { name: "publish to handled at 1,000/s, p99", unit: "ms", run: latency },
  { name: "publish with 10,000 subscriptions, p99", unit: "ms", run: manySubscriptions },
  { name: "backlog of 1,000,000 messages of 256 B, resident", unit: "MB", run: backlog },
  { name: "heap growth over 10,000,000 messages", unit: "MB", run: flatHeap },
];
