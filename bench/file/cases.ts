import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Broker } from "../../src/core/broker.ts";
import { FileBroker, MemoryBroker } from "../../src/index.ts";
import type { Case } from "../memory/cases.ts";
import { Arrivals, PAYLOAD, quantile, startService } from "../memory/service.ts";
import { inFolder, makeEnvelope, rawInserts } from "./store.ts";

const IN_FLIGHT = 100;
const DURATION_MS = 5000;
const MEMORY_DELAY = "event loop delay at 10,000/s on the memory broker, p99";
const RAW = "raw node:sqlite, batches of 100, synced";

async function opened<T>(run: (broker: FileBroker, directory: string) => Promise<T>): Promise<T> {
  return await inFolder(async (directory) => {
    const broker = new FileBroker({ directory });
    await broker.open();
    try {
      return await run(broker, directory);
    } finally {
      await broker.close();
    }
  });
}

/** 100 publishes always on their way, each its own call; messages a second that are on the disk. */
async function durablePublish(): Promise<number> {
  return await opened(async (broker) => {
    let count = 0;
    const startedAt = performance.now();
    const publisher = async (): Promise<void> => {
      while (performance.now() - startedAt < DURATION_MS) {
        const [result] = await broker.publish([makeEnvelope()]);
        if (result?.ok !== true) throw new Error("A publish failed.");
        count++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, publisher));
    return (count / (performance.now() - startedAt)) * 1000;
  });
}

/** Publish, handled, acknowledged, through MessagingService, publishers a window ahead of the handler. */
async function flow(count: number): Promise<number> {
  return await inFolder(async (directory) => {
    const broker = new FileBroker({ directory });
    await using service = await startService({ broker });
    const arrivals = new Arrivals();
    const options = { prefetch: 4000, maxConcurrency: 4000 };
    await service.subscribe("bench.messages", async () => arrivals.arrived(), options);
    const burst = 500;
    const window = 8 * burst;
    const startedAt = performance.now();
    const pending: Promise<unknown>[] = [];
    for (let sent = 0; sent < count; sent += burst) {
      pending.push(
        Promise.all(Array.from({ length: burst }, () => service.publish("bench.messages", PAYLOAD))),
      );
      if (pending.length > 4) await pending.shift();
      else await new Promise((resolve) => setImmediate(resolve));
      await arrivals.reached(sent - window);
    }
    await Promise.all(pending);
    await arrivals.reached(count);
    return (count / (performance.now() - startedAt)) * 1000;
  });
}

/** How late the event loop is at a steady 10,000 messages a second, published and handled here, 99th percentile. */
async function loopDelay(broker: () => Broker): Promise<number> {
  await using service = await startService({ broker: broker() });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived(), { prefetch: 1000 });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const [each, everyMs, count] = [20, 2, 50_000];
  const pending: Promise<unknown>[] = [];
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += each) {
    if (sent === count / 5) delay.enable();
    for (let i = 0; i < each; i++) pending.push(service.publish("bench.messages", PAYLOAD));
    const aheadMs = (sent / each) * everyMs - (performance.now() - startedAt);
    if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs));
    else await new Promise((resolve) => setImmediate(resolve));
  }
  delay.disable();
  await Promise.all(pending);
  await arrivals.reached(count);
  return delay.percentile(99) / 1e6;
}

/** From publish in one process to a delivery in another, 100 a second, 99th percentile. */
async function wakeUp(): Promise<number> {
  return await opened(async (broker, directory) => {
    const subscription = await broker.subscribe({ pattern: "bench.wake", group: "g", prefetch: 100 });
    const count = 600;
    const writer = spawn(
      process.execPath,
      [path.join(import.meta.dirname, "writer.ts"), directory, String(count), "100"],
      {
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
    const samples: number[] = [];
    while (samples.length < count) {
      const deliveries = await subscription.receive(100, 20_000);
      const now = performance.timeOrigin + performance.now();
      for (const { envelope } of deliveries)
        samples.push(now - Number(Buffer.from(envelope.body).toString()));
      void subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
      if (deliveries.length === 0) throw new Error("The writer is silent.");
    }
    if (writer.exitCode === null) await once(writer, "exit");
    return quantile(samples.slice(50), 0.99);
  });
}

/** A store with 1,000,000 messages waiting for a group is opened again: until its first delivery, and what the process takes. */
async function reopen(): Promise<{ ms: number; residentMb: number }> {
  return await inFolder(async (directory) => {
    await fill(directory, 1_000_000);
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const startedAt = performance.now();
    const broker = new FileBroker({ directory });
    await broker.open();
    const subscription = await broker.subscribe({ pattern: "bench.messages", group: "g", prefetch: 100 });
    const deliveries = await subscription.receive(100, 10_000);
    const ms = performance.now() - startedAt;
    if (deliveries.length === 0) throw new Error("Nothing of the backlog came.");
    const residentMb = Math.max(process.memoryUsage().rss, before) / 1e6;
    await broker.close();
    return { ms, residentMb };
  });
}

/** In a process of its own: what it took to fill the store is not what it takes to open it. */
async function fill(directory: string, count: number): Promise<void> {
  const filler = spawn(
    process.execPath,
    [path.join(import.meta.dirname, "filler.ts"), directory, String(count)],
    {
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  const [code] = (await once(filler, "exit")) as [number | null];
  if (code !== 0) throw new Error("The store could not be filled.");
}

/** A subscriber that has nothing to do: percent of one core. */
async function idle(): Promise<number> {
  return await opened(async (broker) => {
    const subscription = await broker.subscribe({ pattern: "bench.idle", group: "g", prefetch: 1 });
    const waiting = subscription.receive(1, 60_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = process.cpuUsage();
    const ms = 5000;
    await new Promise((resolve) => setTimeout(resolve, ms));
    const { user, system } = process.cpuUsage(before);
    await subscription.close();
    await waiting;
    return ((user + system) / 1000 / ms) * 100;
  });
}

/** The file broker's cases, in the order of the report. */
export const FILE_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => inFolder(async (directory) => await rawAt(directory)) },
  { name: "durable publish, 100 in flight", unit: "messages/s", against: RAW, run: durablePublish },
  { name: "publish, handled, acknowledged, whole path", unit: "messages/s", run: () => flow(300_000) },
  { name: MEMORY_DELAY, unit: "ms", run: () => loopDelay(() => new MemoryBroker()) },
  {
    name: "event loop delay at 10,000/s, p99",
    unit: "ms",
    against: MEMORY_DELAY,
    run: () => inFolder((directory) => loopDelay(() => new FileBroker({ directory }))),
  },
  { name: "two processes, wake-up at 100/s, p99", unit: "ms", run: wakeUp },
  { name: "reopen with a backlog of 1,000,000", unit: "ms", run: async () => (await reopen()).ms },
  { name: "resident after that", unit: "MB", run: async () => (await reopen()).residentMb },
  { name: "an idle subscriber", unit: "% of a core", run: idle },
];

async function rawAt(directory: string): Promise<number> {
  return await Promise.resolve(rawInserts(directory, IN_FLIGHT, DURATION_MS));
}
