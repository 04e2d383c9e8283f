import { afterAll, beforeAll } from "vitest";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { whenRedis } from "../support/servers/when.ts";
import { workQueueCases } from "../support/work-queue-cases.ts";
import { workQueueWorkerCases } from "../support/work-queue-worker-cases.ts";
import type { Place } from "../support/work-queues.ts";

whenRedis("a work queue over the Redis broker", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  const makePlace = (): Place => {
    const namespace = newPlace();
    return { broker: () => new RedisBroker({ url: server.url, namespace }) };
  };
  workQueueCases(makePlace);
  workQueueWorkerCases(makePlace);
});
