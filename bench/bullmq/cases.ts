import { BullMQBroker } from "../../src/brokers/bullmq/broker.ts";
import { startRedis, type RedisOptions } from "../../test/support/servers/redis.ts";
import type { Case } from "../memory/cases.ts";
import { Arrivals, PAYLOAD, pump, startService } from "../memory/service.ts";
import { rawBullMQ } from "./raw.ts";

const COUNT = 20_000;
const RAW = "BullMQ addBulk and process";
const RAW_DURABLE = "BullMQ addBulk and process, fsync always";

/** The whole path through MessagingService over the BullMQ broker, at-least-once, retry and dead letters armed. */
async function herald(server: RedisOptions): Promise<number> {
  await using redis = await startRedis(server);
  await using service = await startService({ broker: new BullMQBroker({ url: redis.url }) });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived(), {
    prefetch: 500,
    maxConcurrency: 100,
  });
  return await pump(COUNT, arrivals, () => service.publish("bench.messages", PAYLOAD));
}

/** Herald over BullMQ beside BullMQ itself, each on a Redis of its own, set up alike. */
export const BULLMQ_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => rawBullMQ({ appendonly: false }) },
  { name: "Herald over BullMQ", unit: "messages/s", against: RAW, run: () => herald({ appendonly: false }) },
  { name: RAW_DURABLE, unit: "messages/s", run: () => rawBullMQ({}) },
  {
    name: "Herald over BullMQ, fsync always",
    unit: "messages/s",
    against: RAW_DURABLE,
    run: () => herald({}),
  },
];
