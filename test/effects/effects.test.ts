import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { MemoryStores } from "../../src/stores/memory-stores.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { scratchFolder } from "../support/file-store.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

let server: TestServer;
const ending: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

const BROKERS: Record<string, () => Broker> = {
  memory: () => new MemoryBroker(),
  file: () => {
    const directory = scratchFolder("effects");
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    return new FileBroker({ directory });
  },
  redis: () => new RedisBroker({ url: server.url, namespace: newPlace() }),
};

const retry = { maxAttempts: 3, backoff: { initialDelayMs: 1 } };

async function agent(options: Partial<MessagingServiceOptions>): Promise<MessagingService> {
  const service = new MessagingService({ agentId: "till", retry, ...options });
  ending.push(() => service.stop());
  await service.start();
  return service;
}

describe.each(Object.keys(BROKERS))("on %s a call to the outside", (name) => {
  const broker = BROKERS[name] as () => Broker;

  it("is made once, however often its message is tried, and after a redrive from the dead letters", async () => {
    const till = await agent({ broker: broker() });
    let calls = 0;
    let isBroken = true;
    const receipts: unknown[] = [];
    const attempts: number[] = [];
    await till.subscribe("orders", async (message, context) => {
      attempts.push(context.attempt);
      receipts.push(await context.effect("pay", message.id, () => ({ receipt: ++calls })));
      if (isBroken) throw new Error("the printer is out of paper");
    });
    await till.publish("orders", { amount: 7 }, { id: "order-1" });
    await expect.poll(() => till.deadLetters.list(), { interval: 5 }).toHaveLength(1);
    expect(attempts).toEqual([1, 2, 3]);

    isBroken = false;
    expect(await till.deadLetters.redrive("order-1")).toBe(1);
    await expect.poll(() => till.getMetrics().handled, { interval: 5 }).toBe(1);
    expect(attempts).toEqual([1, 2, 3, 1]);
    expect(receipts).toEqual(attempts.map(() => ({ receipt: 1 })));
  });

  it("is made again when it failed, and never after that", async () => {
    const till = await agent({ broker: broker() });
    const attempts: number[] = [];
    await till.subscribe("orders", async (message, context) => {
      await context.effect("pay", message.id, ({ attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error("no line");
      });
    });
    await till.publish("orders", { amount: 7 }, { id: "order-1" });
    await till.publish("orders", { amount: 7 }, { id: "order-1" });

    await expect.poll(() => till.getMetrics().handled, { interval: 5 }).toBe(2);
    expect(attempts).toEqual([1, 2, 3]);
  });

  it("is made once for two messages that name the same key at the same time", async () => {
    const till = await agent({ broker: broker() });
    let calls = 0;
    const receipts: unknown[] = [];
    await till.subscribe<{ order: string }>("orders", async ({ payload }, context) => {
      const pay = async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return ++calls;
      };
      receipts.push(await context.effect("pay", payload.order, pay));
    });
    await Promise.all([1, 2, 3].map(() => till.publish("orders", { order: "7" })));

    await expect.poll(() => receipts, { interval: 5 }).toEqual([1, 1, 1]);
  });
});

describe("a call to the outside", () => {
  /** A broker without stores. */
  function plain(): Broker {
    return Object.defineProperty(new MemoryBroker(), "name", { value: "kafka" });
  }

  it("is refused on a broker that keeps nothing, with a sentence that says what to give: the message goes to the dead letters", async () => {
    const till = await agent({ broker: plain() });
    let calls = 0;
    await till.subscribe("orders", (_message, context) => context.effect("pay", "1", () => void calls++));
    await till.publish("orders", 1);
    await expect.poll(() => till.deadLetters.list(), { interval: 5 }).toHaveLength(1);

    const [letter] = await till.deadLetters.list();
    expect(letter).toMatchObject({ code: "UNSUPPORTED", attempts: 1 });
    expect(letter?.failures[0]?.message ?? letter).toMatch(/'kafka' .*effects: \{ stores \}/);
    expect(calls).toBe(0);
  });

  it("is recorded in the stores that are given, where another service with them finds it", async () => {
    const stores = new MemoryStores();
    const results: unknown[] = [];
    for (const broker of [plain(), plain()]) {
      const till = await agent({ broker, effects: { stores } });
      await till.subscribe("orders", async (_message, context) => {
        results.push(await context.effect("pay", "1", () => results.length));
      });
      await till.publish("orders", 1);
      await expect.poll(() => till.getMetrics().handled, { interval: 5 }).toBe(1);
    }

    expect(results).toEqual([0, 0]);
  });

  it("can be made by a loop that consumes messages one by one", async () => {
    const till = await agent({});
    const loop = till.consume("orders");
    const first = loop.next();
    await expect.poll(() => till.listSubscriptions()).toHaveLength(1);
    await till.publish("orders", 1);
    const { value } = await first;

    expect(await value?.context.effect("pay", "1", ({ attempt }) => attempt)).toBe(1);
    value?.ack();
    await loop.return();
  });

  it.each([
    [{ stores: {} }, "effects.stores"],
    [{ retentionDays: 0 }, "effects.retentionDays"],
    [{ leaseMs: -1 }, "effects.leaseMs"],
  ])("with %o as options is refused when the service is made", (effects, field) => {
    expect(() => new MessagingService({ agentId: "till", effects: effects as never })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });
});
