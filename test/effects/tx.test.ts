import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { HandlerContext } from "../../src/core/middleware.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { scratchFolder } from "../support/file-store.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

function folder(): string {
  const made = scratchFolder("tx");
  ending.push(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

let server: TestServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const BROKERS: Record<string, () => FileBroker | RedisBroker> = {
  file: () => new FileBroker({ directory: folder() }),
  redis: () => new RedisBroker({ url: server.url, namespace: newPlace(), ephemeral: ["live.#"] }),
};
const once = { guarantee: "exactly-once" } as const;

async function agent(more: Partial<MessagingServiceOptions> = {}): Promise<MessagingService> {
  const broker = new FileBroker({ directory: folder() });
  const retry = { backoff: { initialDelayMs: 1 } };
  const service = new MessagingService({ agentId: "bank", broker, retry, ...more });
  ending.push(() => service.stop());
  await service.start();
  return service;
}

async function add({ tx }: HandlerContext, amount: number): Promise<number> {
  const sum = Number((await tx.values.get("balances", "ada"))?.value ?? 0) + amount;
  await tx.values.put("balances", "ada", String(sum));
  return sum;
}

async function idle(service: MessagingService, channel: string): Promise<void> {
  await expect
    .poll(() => service.getConsumerLag({ channel, group: "bank" }), { interval: 5 })
    .toMatchObject([{ lag: 0 }]);
}

describe.each(Object.keys(BROKERS))("what a handler writes through context.tx on %s", (name) => {
  const broker = BROKERS[name] as () => FileBroker | RedisBroker;

  it("takes place with what it publishes and its acknowledgement, and not at all while it fails", async () => {
    const bank = await agent({ broker: broker() });
    const stores = bank.createStores();
    const booked: unknown[] = [];
    const seen: unknown[] = [];
    let runs = 0;
    await bank.subscribe("booked", ({ payload }) => void booked.push(payload));
    await bank.subscribe<number>(
      "payments",
      async ({ payload }, context) => {
        runs++;
        const sum = await add(context, payload);
        await new EventStore(context.tx).append("ledger", { type: "Paid", data: { sum } });
        await bank.publish("booked", sum);
        seen.push([await stores.values.get("balances", "ada"), await stores.events.head("ledger")]);
        if (runs < 3) throw new Error("not yet");
      },
      once,
    );
    await bank.publish("payments", 10);
    await idle(bank, "payments");

    expect(runs).toBe(3);
    // Nobody sees anything of it before.
    expect(seen).toEqual(Array.from({ length: 3 }, () => [undefined, { version: 0, hash: "" }]));
    expect((await stores.values.get("balances", "ada"))?.value).toBe("10");
    expect(await new EventStore(stores).verify("ledger")).toMatchObject({ ok: true });
    expect(await stores.events.head("ledger")).toMatchObject({ version: 1 });
    await expect.poll(() => booked).toEqual([10]);
    expect(bank.getMetrics()).toMatchObject({ published: 2, handled: 2, failed: 2, deadLettered: 0 });
  });

  it("is written by one of those who change it at the same time; the others run again and no attempt is counted", async () => {
    const bank = await agent({ broker: broker(), retry: { maxAttempts: 1 } });
    const attempts = new Set<number>();
    await bank.subscribe<number>(
      "payments",
      async ({ payload }, context) => {
        attempts.add(context.attempt);
        await add(context, payload);
      },
      once,
    );
    await bank.publishBatch(Array.from({ length: 30 }, () => ({ channel: "payments", payload: 1 })));
    await idle(bank, "payments");

    expect((await bank.createStores().values.get("balances", "ada"))?.value).toBe("30");
    expect(attempts).toEqual(new Set([1]));
    expect(bank.getMetrics()).toMatchObject({ handled: 30, failed: 0, deadLettered: 0 });
    expect(bank.getMetrics().snoozed).toBeGreaterThan(0);
  });

  it("takes place once for an id that is published twice, also with a partition key", async () => {
    const bank = await agent({ broker: broker() });
    await bank.subscribe<number>("payments", ({ payload }, context) => add(context, payload), once);
    for (const id of ["a", "b", "a"])
      await bank.publish("payments", 1, { id, partitionKey: "ada", dedupe: false });
    await idle(bank, "payments");

    expect((await bank.createStores().values.get("balances", "ada"))?.value).toBe("2");
    expect(bank.getMetrics()).toMatchObject({ handled: 2, duplicates: 1 });
  });

  it("is there when whoever asked gets the answer, and an answer that nobody waits for makes no channel", async () => {
    const bank = await agent({ broker: broker() });
    await bank.subscribe<number>("payments", async ({ payload }, context) => add(context, payload), once);

    expect(await bank.request("payments", 3)).toBe(3);
    expect((await bank.createStores().values.get("balances", "ada"))?.value).toBe("3");
    await bank.publish("payments", 1, { replyTo: "reply.gone", correlationId: "x" });
    await idle(bank, "payments");
    const names = (await bank.listChannels()).map(({ channel }) => channel);
    if (name === "file") expect(names).not.toContain("reply.gone");
  });

  it("is forgotten when a value is deleted in it", async () => {
    const bank = await agent({ broker: broker() });
    const { values } = bank.createStores();
    await values.put("balances", "ada", "5");
    await bank.subscribe("close", (_message, { tx }) => tx.values.delete("balances", "ada"), once);
    await bank.publish("close", null);
    await idle(bank, "close");

    expect(await values.get("balances", "ada")).toBeUndefined();
  });
});

describe("an exactly-once handler on file", () => {
  it("that has begun no transaction is committed all the same: outputs, record and acknowledgement at once", async () => {
    const broker = new FileBroker({ directory: folder() });
    const commits: number[] = [];
    const subscribe = broker.subscribe.bind(broker);
    broker.subscribe = async (spec) => {
      const subscription = await subscribe(spec);
      const { commit } = subscription;
      subscription.commit = async (one) => {
        commits.push(one.envelopes.length);
        await commit?.call(subscription, one);
      };
      return subscription;
    };
    const bank = await agent({ broker, defaultDeliveryGuarantee: "exactly-once" });
    const seen: unknown[] = [];
    await bank.subscribe("out", ({ payload }) => void seen.push(payload), { guarantee: "at-least-once" });
    await bank.subscribe("in", async ({ payload }) => {
      await bank.publish("out", payload);
      await bank.publish("out", payload);
    });
    await bank.publish("in", 1);
    await expect.poll(() => seen, { interval: 5 }).toEqual([1, 1]);

    expect(commits).toEqual([2]);
    expect(bank.getMetrics().published).toBe(3);
    await idle(bank, "in");
  });
});

describe("context.tx is refused", () => {
  it.each([
    [
      "on a broker without such a transaction, naming what to use",
      { broker: new MemoryBroker() },
      "exactly-once",
      /'memory'.*context\.effect.*Outbox/,
    ],
    ["without exactly-once", {}, "at-least-once", /'exactly-once', and this is 'at-least-once'/],
    ["with an inbox from elsewhere", { inbox: new MemoryInbox() }, "exactly-once", /the inbox/],
  ] as const)("%s", async (_why, options, guarantee, sentence) => {
    const bank = await agent(options);
    await bank.subscribe("payments", (_message, context) => add(context, 1), { guarantee });
    await bank.publish("payments", 1);
    await expect.poll(() => bank.deadLetters.list(), { interval: 5 }).toHaveLength(1);

    const [letter] = await bank.deadLetters.list();
    expect(letter).toMatchObject({ code: "UNSUPPORTED", attempts: 1 });
    expect(letter?.failures[0]?.message).toMatch(sentence);
  });
});
