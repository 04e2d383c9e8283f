import { afterAll, beforeAll, describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { redisHarness } from "../support/harness-redis.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { whenRedis } from "../support/servers/when.ts";

whenRedis("redis", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  testBroker(
    redisHarness(() => server),
    { describe, it },
  );
  standsInReadme(() => redisHarness(() => server), it);
});
