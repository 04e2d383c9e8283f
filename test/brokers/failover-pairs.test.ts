import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { conforms } from "../support/conforms.ts";
import { failoverFileMemoryHarness, failoverRedisMemoryHarness } from "../support/harness-failover.ts";
import { failoverNatsFileHarness, failoverRabbitFileHarness } from "../support/harness-failover-files.ts";
import { startNats, type TestNats } from "../support/servers/nats.ts";
import { startRabbit, type TestRabbit } from "../support/servers/rabbitmq.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { whenRedis, whenStarted } from "../support/servers/when.ts";

// What a pair of brokers could break: delivery, retries and dead letters, everything about the switch.
const CASES = /^[acj]/;

const isChecked = (id: string) => CASES.test(id);

describe("failover between other pairs of brokers", () => {
  it("loses nothing from files to memory", async () => {
    expect(await conforms(failoverFileMemoryHarness(), isChecked)).toBeGreaterThan(40);
  }, 600_000);
});

whenRedis("failover between other pairs of brokers", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  it("loses nothing from Redis to memory", async () => {
    expect(
      await conforms(
        failoverRedisMemoryHarness(() => server),
        isChecked,
      ),
    ).toBeGreaterThan(40);
  }, 600_000);
});

whenStarted("nats", "failover between other pairs of brokers", () => {
  let server: TestNats;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server.stop());

  it("loses nothing from NATS to files", async () => {
    const harness = failoverNatsFileHarness(() => server);
    expect(await conforms(harness, (id) => id.startsWith("j"))).toBeGreaterThan(5);
  }, 600_000);
});

whenStarted("rabbitmq", "failover between other pairs of brokers", () => {
  let server: TestRabbit;
  beforeAll(async () => {
    server = await startRabbit();
  });
  afterAll(() => server.stop());

  it("loses nothing from RabbitMQ to files", async () => {
    const harness = failoverRabbitFileHarness(() => server);
    expect(await conforms(harness, (id) => id.startsWith("j"))).toBeGreaterThan(5);
  }, 600_000);
});
