import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { startRedis } from "../../test/support/servers/redis.ts";
import { rawBullMQ } from "../bullmq/raw.ts";
import { inFolder } from "../file/store.ts";
import type { Case } from "../memory/cases.ts";
import { Arrivals, PAYLOAD, startService } from "../memory/service.ts";

const BATCH = 1000;
/** Tasks that are enqueued and not yet done, at most. */
const AHEAD = 8 * BATCH;
const BULLMQ = "BullMQ addBulk and process";
const FILE = "file: the service alone";
const MEMORY = "memory: the service alone";

const fileAt = (directory: string): FileBroker => new FileBroker({ directory });

/** Tasks a second, enqueued in batches to done, by 100 workers of this process, while they are enqueued. */
async function throughQueue(broker: Broker, count: number): Promise<number> {
  await using queue = new WorkQueue(broker, { queue: "bench" });
  const arrivals = new Arrivals();
  await queue.process(async () => arrivals.arrived(), { workers: 100, prefetch: 2000 });
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += BATCH) {
    await queue.enqueueBatch(Array.from({ length: BATCH }, () => PAYLOAD));
    await arrivals.reached(sent - AHEAD);
  }
  await arrivals.reached(count);
  return (count / (performance.now() - startedAt)) * 1000;
}

/** The same through a service alone: what the queue adds is the difference. */
async function throughService(broker: Broker, count: number): Promise<number> {
  await using service = await startService({ broker });
  const arrivals = new Arrivals();
  await service.subscribe("bench", async () => arrivals.arrived(), { maxConcurrency: 100, prefetch: 2000 });
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += BATCH) {
    await Promise.all(Array.from({ length: BATCH }, () => service.publish("bench", PAYLOAD)));
    await arrivals.reached(sent - AHEAD);
  }
  await arrivals.reached(count);
  return (count / (performance.now() - startedAt)) * 1000;
}

async function onRedis(): Promise<number> {
  await using redis = await startRedis({ appendonly: false });
  return await throughQueue(new RedisBroker({ url: redis.url, requireDurability: "none" }), 100_000);
}

/** The work queue on each broker; on Redis beside BullMQ doing the same on a server of its own, set up alike. */
export const QUEUE_CASES: readonly Case[] = [
  { name: BULLMQ, unit: "tasks/s", run: () => rawBullMQ({ appendonly: false }) },
  { name: "Redis: work queue, 100 workers", unit: "tasks/s", against: BULLMQ, run: onRedis },
  {
    name: FILE,
    unit: "messages/s",
    run: () => inFolder((directory) => throughService(fileAt(directory), 100_000)),
  },
  {
    name: "file: work queue, 100 workers",
    unit: "tasks/s",
    against: FILE,
    run: () => inFolder((directory) => throughQueue(fileAt(directory), 100_000)),
  },
  { name: MEMORY, unit: "messages/s", run: () => throughService(new MemoryBroker(), 300_000) },
  {
    name: "memory: work queue, 100 workers",
    unit: "tasks/s",
    against: MEMORY,
    run: () => throughQueue(new MemoryBroker(), 300_000),
  },
];
