import { afterAll, beforeAll, describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { failoverHarness, failoverMemoryHarness } from "../support/harness-failover.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { whenRedis } from "../support/servers/when.ts";

testBroker({ ...failoverMemoryHarness, scale: 0.1 }, { describe, it });

whenRedis("failover from redis to files", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  testBroker(
    failoverHarness(() => server),
    { describe, it },
  );
});
