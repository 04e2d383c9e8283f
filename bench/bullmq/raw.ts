import { createClient } from "@redis/client";
import { createNodeRedisClient, Queue, Worker } from "bullmq";
import { startRedis, type RedisOptions } from "../../test/support/servers/redis.ts";
import { Arrivals, PAYLOAD } from "../memory/service.ts";

const COUNT = 20_000;

/** BullMQ as its own benchmark has it: jobs added in bulk, one worker of 100 slots; messages a second, added to handled. */
export async function rawBullMQ(server: RedisOptions): Promise<number> {
  await using redis = await startRedis(server);
  const clients = [
    createClient({ url: redis.url, RESP: 2 }),
    createClient({ url: redis.url, RESP: 2 }),
  ] as const;
  for (const client of clients) client.on("error", () => undefined);
  const [adding, working] = clients.map((client) => createNodeRedisClient(client));
  if (adding === undefined || working === undefined) throw new Error("unreachable");
  const queue = new Queue("bench", { connection: adding });
  const arrivals = new Arrivals();
  const worker = new Worker("bench", async () => arrivals.arrived(), {
    connection: working,
    concurrency: 100,
  });
  await worker.waitUntilReady();
  const startedAt = performance.now();
  for (let sent = 0; sent < COUNT; sent += 1000) {
    await queue.addBulk(
      Array.from({ length: 1000 }, () => ({ name: "job", data: PAYLOAD, opts: { removeOnComplete: true } })),
    );
  }
  await arrivals.reached(COUNT);
  const rate = (COUNT / (performance.now() - startedAt)) * 1000;
  await worker.close();
  await queue.close();
  for (const client of clients) if (client.isOpen) client.destroy();
  return rate;
}
