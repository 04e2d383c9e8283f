import { rmSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { Outbox } from "../../src/patterns/outbox/outbox.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { RELAY_POINTS } from "../support/child-outbox.ts";
import { eventsOf } from "../support/consuming.ts";
import { scratchFolder } from "../support/file-store.ts";
import { crashRuns, runChild } from "../support/killed.ts";
import type { ServerHandle } from "../support/servers/handle.ts";
import { startPostgres } from "../support/servers/postgres.ts";
import { whenStarted } from "../support/servers/when.ts";
import { databaseAt, type DatabasePlace, type OwnDatabase } from "../support/sql-databases.ts";

const RUNS = crashRuns();

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

function folder(): string {
  const made = scratchFolder("outbox");
  ending.push(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function opened(place: DatabasePlace): OwnDatabase {
  const database = databaseAt(place);
  ending.push(() => database.close());
  return database;
}

async function agent(broker: Broker, more: Partial<MessagingServiceOptions> = {}): Promise<MessagingService> {
  const service = new MessagingService({ agentId: "shop", broker, ...more });
  ending.push(() => service.stop());
  await service.start();
  return service;
}

const range = (count: number) => Array.from({ length: count }, (_none, n) => n);
const quick = { pollMs: 20, leaseMs: 300 };

/** The cases that every database is held to. `place` gives an empty one. */
function cases(place: () => Promise<DatabasePlace>): void {
  async function shop() {
    const at = await place();
    const database = opened(at);
    const outbox = new Outbox(database);
    await outbox.createTables();
    await outbox.createTables();
    await database.query("CREATE TABLE orders(n INTEGER)", []);
    const order = (n: number) => ({ sql: `INSERT INTO orders(n) VALUES (${n})`, parameters: [] });
    return { at, database, outbox, order };
  }

  it("a message is published when its transaction is committed, and never when it is rolled back", async () => {
    const { database, outbox, order } = await shop();
    const service = await agent(new MemoryBroker());
    const seen: unknown[] = [];
    await service.subscribe("orders.*", ({ id, payload, metadata }) => {
      seen.push([id, payload, metadata.partitionKey, metadata.headers]);
    });
    const options = { id: "order-1", partitionKey: "ada", headers: { by: "till" } };
    await database.transaction([order(1), outbox.message("orders.created", { n: 1 }, options)]);
    await database.transaction([order(2), outbox.message("orders.created", { n: 2 })], false);
    const relay = outbox.relay(service, quick);
    ending.push(() => relay.stop());
    relay.start();

    await expect.poll(() => seen, { interval: 5 }).toEqual([["order-1", { n: 1 }, "ada", { by: "till" }]]);
    await database.transaction([outbox.message("orders.paid", null)]);
    relay.wake();
    await expect.poll(() => seen, { interval: 5 }).toHaveLength(2);
    expect(await database.query("SELECT n FROM orders", [])).toEqual([{ n: 1 }]);
    await expect.poll(() => database.query("SELECT id FROM herald_outbox", [])).toEqual([]);
    await expect.poll(() => relay.relayed).toBe(2);
  });

  it("two relays publish every message once, in its order, and the second goes on when the first stops", async () => {
    const { at, database, outbox } = await shop();
    const service = await agent(new MemoryBroker());
    const seen: number[] = [];
    await service.subscribe<number>("orders", ({ payload }) => void seen.push(payload), {
      maxConcurrency: 1,
    });
    const write = (from: number) =>
      database.transaction(range(150).map((n) => outbox.message("orders", from + n, { dedupe: false })));
    await write(0);
    const relays = [outbox, new Outbox(opened(at))].map((one) => one.relay(service, { ...quick, batch: 20 }));
    for (const relay of relays) {
      ending.push(() => relay.stop());
      relay.start();
    }
    await expect.poll(() => seen.length, { interval: 5 }).toBe(150);
    const leader = relays.find(({ relayed }) => relayed > 0);
    const other = relays.find((relay) => relay !== leader);
    expect(other?.relayed).toBe(0);
    await leader?.stop();
    await write(150);

    await expect.poll(() => seen.length, { interval: 5 }).toBe(300);
    expect(seen).toEqual(range(300));
    // Counted once the rows are gone, which is after the message has arrived.
    await expect.poll(() => other?.relayed, { interval: 5 }).toBe(150);
  });

  it.each(RELAY_POINTS)(
    "a relay that is killed with a batch %s is followed by another, and every message takes effect once",
    async (point) => {
      for (let run = 0; run < RUNS; run++) {
        const { at, database, outbox } = await shop();
        const directory = folder();
        const service = await agent(new FileBroker({ directory }));
        const seen: number[] = [];
        await service.subscribe<number>("orders", ({ payload }) => void seen.push(payload));
        await database.transaction(range(100).map((n) => outbox.message("orders", n)));
        const order = { database: at, directory, point, nth: 3 };
        const killed = await runChild(order, undefined, { program: "child-outbox.ts" });
        expect(killed).toMatchObject({ signal: "SIGKILL", stderr: "" });
        const left = await database.query("SELECT id FROM herald_outbox", []);
        expect(left).toHaveLength(point === "removed" ? 40 : 60);

        const relay = outbox.relay(service, { ...quick, batch: 20 });
        relay.start();
        await expect.poll(() => database.query("SELECT id FROM herald_outbox", [])).toEqual([]);
        await relay.stop();
        const query = { channel: "orders", group: "shop" };
        await expect.poll(() => service.getConsumerLag(query)).toMatchObject([{ lag: 0 }]);
        expect(seen.toSorted((a, b) => a - b)).toEqual(range(100));
      }
    },
  );

  it("a message that can never be published stays with its reason, is told, and holds up nothing", async () => {
    const { database, outbox } = await shop();
    const service = await agent(new MemoryBroker(), { limits: { maxMessageBytes: 100 } });
    const faults = eventsOf<{ where: string; error: { code: string } }>("fault");
    const seen: unknown[] = [];
    await service.subscribe("orders", ({ payload }) => void seen.push(payload));
    await database.transaction([
      outbox.message("orders", "x".repeat(200), { id: "large" }),
      outbox.message("orders", "small"),
    ]);
    const relay = outbox.relay(service, quick);
    ending.push(() => relay.stop());
    relay.start();

    await expect.poll(() => seen, { interval: 5 }).toEqual(["small"]);
    await expect
      .poll(() => database.query("SELECT id, error FROM herald_outbox", []))
      .toEqual([{ id: "large", error: expect.stringContaining("MESSAGE_TOO_LARGE: ") }]);
    expect(faults).toMatchObject([{ where: "outbox", error: { code: "MESSAGE_TOO_LARGE" } }]);
  });

  it("what a broker does not take now is published later", async () => {
    const { database, outbox } = await shop();
    const broker = new MemoryBroker();
    let isAway = true;
    const publish = broker.publish.bind(broker);
    broker.publish = (envelopes, options) =>
      isAway ? Promise.reject(new Error("away")) : publish(envelopes, options);
    const service = await agent(broker);
    const faults = eventsOf("fault");
    const relay = outbox.relay(service, quick);
    ending.push(() => relay.stop());
    await database.transaction([outbox.message("orders", 1)]);
    relay.start();
    relay.start();
    await expect.poll(() => faults.length, { interval: 5 }).toBeGreaterThan(0);
    isAway = false;

    await expect.poll(() => relay.relayed).toBe(1);
  });
}

describe("over SQLite", () => {
  cases(async () => ({ file: path.join(folder(), "own.db") }));

  it("what a handler leaves is part of its conversation, and has the same id when it runs again", async () => {
    const database = opened({ file: path.join(folder(), "own.db") });
    const outbox = new Outbox(database, { table: "letters" });
    await outbox.createTables();
    const service = await agent(new MemoryBroker(), { retry: { backoff: { initialDelayMs: 1 } } });
    const ids: string[][] = [];
    const seen: unknown[] = [];
    await service.subscribe("letters", ({ payload, metadata }) => {
      seen.push([payload, metadata.correlationId, metadata.causationId, metadata.traceId]);
    });
    await service.subscribe("orders", async () => {
      const left = ["one", "two"].map((name) => outbox.message("letters", name));
      ids.push(left.map(({ id }) => id));
      await database.transaction(left);
      if (ids.length === 1) throw new Error("after the commit");
    });
    const id = await service.publish("orders", 1, { correlationId: "talk" });
    await expect.poll(() => ids, { interval: 5 }).toHaveLength(2);
    const relay = outbox.relay(service, quick);
    ending.push(() => relay.stop());
    relay.start();

    const trace = id.replaceAll("-", "");
    await expect
      .poll(() => seen, { interval: 5 })
      .toEqual([
        ["one", "talk", id, trace],
        ["two", "talk", id, trace],
      ]);
    expect(ids[1]).toEqual(ids[0]);
    expect(new Set(ids[0]).size).toBe(2);
  });

  it("delays and lifetimes count from when the message was written", async () => {
    const database = opened({ file: path.join(folder(), "own.db") });
    const outbox = new Outbox(database);
    await outbox.createTables();
    const service = await agent(new MemoryBroker());
    const seen: unknown[] = [];
    await service.subscribe("orders", ({ payload }) => void seen.push(payload));
    await database.transaction([
      outbox.message("orders", "late", { ttlSeconds: 0.02 }),
      outbox.message("orders", "delayed", { delayMs: 20 }),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const relay = outbox.relay(service, quick);
    ending.push(() => relay.stop());
    relay.start();

    await expect.poll(() => seen, { interval: 5 }).toEqual(["delayed"]);
    await expect.poll(() => service.getMetrics().expired).toBe(1);
  });
});

whenStarted("postgres", "over PostgreSQL", () => {
  let server: ServerHandle;
  let databases = 0;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  cases(async () => {
    const name = `own${databases++}`;
    const maintenance = databaseAt({ url: server.url });
    await maintenance.query(`CREATE DATABASE ${name}`, []);
    await maintenance.close();
    return { url: server.url.replace(/postgres$/, name) };
  });
});

describe("an outbox", () => {
  const database = { dialect: "sqlite", query: () => [] } as const;

  it.each([
    [{ dialect: "oracle", query: () => [] }, {}, "dialect"],
    [{ dialect: "sqlite" }, {}, "database"],
    [database, { table: "a; DROP TABLE b" }, "table"],
  ])("refuses what is no database or no table: %o %o", (given, options, field) => {
    expect(() => new Outbox(given as never, options)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });

  it.each([
    [{ pollMs: 0 }, "pollMs"],
    [{ leaseMs: "1" }, "leaseMs"],
    [{ batch: 501 }, "batch"],
  ])("refuses to relay with %o", (options, field) => {
    const over = new MessagingService({ agentId: "shop" });
    expect(() => new Outbox(database).relay(over, options as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });

  it("refuses a message that could not be published, where it is written", () => {
    const outbox = new Outbox(database);
    expect(() => outbox.message("no channel", 1)).toThrow(
      expect.objectContaining({ code: "INVALID_CHANNEL" }),
    );
    expect(() => outbox.message("orders", 1n)).toThrow(expect.objectContaining({ code: "UNSERIALIZABLE" }));
    expect(() => outbox.message("orders", 1, { id: "" })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
