import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { RedisBench } from "../support/redis.ts";
import { BUSY_MS, ack, idsOf, take, until } from "../support/taking.ts";
import { whenRedis } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 100 };
const now = (init: Parameters<typeof envelope>[0] = {}) => envelope({ time: Date.now(), ...init });
const text = (body: Uint8Array) => Buffer.from(body).toString("utf8");

whenRedis("a Redis broker", () => {
  const bench = new RedisBench();
  beforeAll(() => bench.start());
  afterEach(() => bench.cleanUp());
  afterAll(() => bench.stop());

  const cli = (...args: readonly string[]) =>
    execFileSync("redis-cli", ["-p", String(bench.server.port), ...args], { encoding: "utf8" });

  describe("beside redis-cli", () => {
    it("shows what it stores: plain JSON under CloudEvents names", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const body = Buffer.from('{"order":7,"text":"Grüße"}');
      await broker.publish([
        now({
          id: "o-7",
          channel: "orders.created",
          source: "shop",
          body,
          headers: { "x-a": "1", id: "mine" },
        }),
      ]);

      const shown = cli("--raw", "XRANGE", `herald:${namespace}:{orders.created}`, "-", "+").split("\n");
      const value = (name: string) => shown[shown.indexOf(name) + 1];
      expect(["specversion", "id", "source", "data", "x-a", "header:id"].map(value)).toEqual([
        "1.0",
        "o-7",
        "shop",
        '{"order":7,"text":"Grüße"}',
        "1",
        "mine",
      ]);
    });

    it("takes what is added by hand, with a payload and nothing else, within a second", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe({ ...spec, pattern: "orders.created" });
      const listener = await broker.subscribe({ ...spec, pattern: "orders.created", group: null });
      const started = Date.now();
      const id = cli(
        "XADD",
        `herald:${namespace}:{orders.created}`,
        "*",
        "data",
        '{"n":1}',
        "color",
        "red",
      ).trim();

      const [found] = await take(subscription, 1);
      expect(Date.now() - started).toBeLessThan(1000 + BUSY_MS);
      expect(found).toMatchObject({ attempt: 1, position: id });
      expect(found?.envelope).toMatchObject({ id, source: "external", headers: { color: "red" } });
      expect(text(found?.envelope.body ?? new Uint8Array())).toBe('{"n":1}');
      expect(idsOf(await take(listener, 1))).toEqual([id]);
    });

    it("lets no malformed attribute stand in the way: it becomes a header", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      cli("XADD", `herald:${namespace}:{c}`, "*", "data", "1", "priority", "soon", "time", "noon");

      const [found] = await take(subscription, 1);
      expect(found?.envelope.headers).toEqual({ "x-malformed-priority": "soon", "x-malformed-time": "noon" });
    });
  });

  it("keeps bytes that are no text, and keys and groups of any characters", async () => {
    const broker = await bench.opened();
    const group = "g {}|\n:* ü";
    const subscription = await broker.subscribe({ ...spec, group });
    const bytes = new Uint8Array([0, 255, 254, 128, 10, 13]);
    await broker.publish(["a\0", "a", "1:a", "ü|"].map((key, at) => now({ id: `k${at}`, key, body: bytes })));
    await broker.publish([now({ id: "again", key: "a" })]);

    const found = await take(subscription, 4);
    expect(found.map(({ envelope: { key } }) => key)).toEqual(["a\0", "a", "1:a", "ü|"]);
    expect(found.every((delivery) => Buffer.from(delivery.envelope.body).equals(bytes))).toBe(true);
    await ack(subscription, found);
    expect(idsOf(await take(subscription, 1))).toEqual(["again"]);
  });

  it("tells the latest of a channel, newest first, whatever their priority", async () => {
    const broker = await bench.opened();
    for (let n = 0; n < 5; n++) {
      await broker.publish([now({ id: `m${n}`, priority: n % 2 === 0 ? 50 : 10 })]);
      // Streams of two priorities are in order by the millisecond.
      const publishedAt = Date.now();
      await until(() => Date.now() > publishedAt);
    }

    const latest = await broker.history("c", 3);
    expect(latest.map((stored) => stored.envelope.id)).toEqual(["m4", "m3", "m2"]);
    expect(await broker.history("c")).toHaveLength(5);
    expect(await broker.history("nothing")).toEqual([]);
  });

  it("shares its connections with every broker of the process: two for a thousand subscriptions", async () => {
    const server = await bench.own();
    const brokers = await Promise.all(Array.from({ length: 10 }, () => bench.opened({ url: server.url })));
    for (const broker of brokers) {
      for (let n = 0; n < 100; n++) await broker.subscribe({ ...spec, pattern: `c${n}` });
    }

    const clients = String(await server.command("CLIENT", "LIST"))
      .trim()
      .split("\n");
    // One of them is the connection that asks.
    expect(clients.length - 1).toBeLessThanOrEqual(2);
  });

  it("gives a group that is away what is published on channels that it never saw", async () => {
    const namespace = newPlace();
    const reader = await bench.opened({ namespace });
    await (await reader.subscribe({ ...spec, pattern: "orders.*" })).close();
    await reader.close();
    const writer = await bench.opened({ namespace });
    await writer.publish([now({ id: "a", channel: "orders.created" })]);
    await writer.publish([now({ id: "b", channel: "orders.paid", priority: 5 })]);

    const back = await (await bench.opened({ namespace })).subscribe({ ...spec, pattern: "orders.*" });
    expect(idsOf(await take(back, 2)).toSorted()).toEqual(["a", "b"]);
  });

  it("keeps a retry and a delayed message through the end of who made them", async () => {
    const namespace = newPlace();
    const first = await bench.opened({ namespace });
    const subscription = await first.subscribe(spec);
    await first.publish([now({ id: "retry" })]);
    const [delivery] = await take(subscription, 1);
    const failure = { attempt: 1, code: "HANDLER_FAILED", message: "no", at: 5 };
    await subscription.settle([{ kind: "nack", delivery: delivery!, delayMs: 300, failure }]);
    await first.publish([now({ id: "later", deliverAt: Date.now() + 300 })]);
    const startedAt = Date.now();
    await first.close();

    const second = await (await bench.opened({ namespace })).subscribe(spec);
    const found = await take(second, 2);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(290);
    expect(idsOf(found).toSorted()).toEqual(["later", "retry"]);
    expect(found.find((one) => one.envelope.id === "retry")).toMatchObject({
      attempt: 2,
      failures: [failure],
    });
  });

  it("ignores a settlement whose entry another process has taken over", async () => {
    const namespace = newPlace();
    const [slow, other] = [await bench.opened({ namespace }), await bench.opened({ namespace })];
    const holding = await slow.subscribe(spec);
    await slow.publish([now({ id: "m", key: "k" }), now({ id: "n", key: "k" })]);
    const [late] = await take(holding, 1);
    const taking = await other.subscribe(spec);
    const [taken] = await take(taking, 1);
    expect([taken?.envelope.id, taken?.attempt]).toEqual(["m", 2]);

    await holding.settle([{ kind: "nack", delivery: late!, delayMs: 0 }]);
    await ack(holding, [late!]);
    expect(await taking.receive(10, 100)).toEqual([]);
    await taking.settle([{ kind: "nack", delivery: taken!, delayMs: 0 }]);
    const [again] = await take(taking, 1);
    expect([again?.envelope.id, again?.attempt]).toEqual(["m", 3]);
    await ack(taking, [again!]);
    expect(idsOf(await take(taking, 1))).toEqual(["n"]);
  });

  it("hands out alone what two owners died of", async () => {
    const namespace = newPlace();
    for (let death = 0; death < 2; death++) {
      const broker = await bench.opened({ namespace, leaseMs: 200, sweepMs: 100 });
      const subscription = await broker.subscribe({ ...spec, from: "earliest" });
      if (death === 0) await broker.publish([now({ id: "a" }), now({ id: "b" }), now({ id: "c" })]);
      expect(await take(subscription, 3)).toHaveLength(3);
    }
    const subscription = await (await bench.opened({ namespace, leaseMs: 5000 })).subscribe(spec);
    const watcher = await (
      await bench.opened({ namespace, leaseMs: 200, sweepMs: 50 })
    ).subscribe({
      ...spec,
      pattern: "c.#",
    });
    await watcher.close();

    const seen: string[] = [];
    for (let n = 0; n < 3; n++) {
      const alone = await subscription.receive(10, 8000);
      expect(alone.map(({ attempt }) => attempt)).toEqual([3]);
      expect(await subscription.receive(10, 50)).toEqual([]);
      seen.push(...idsOf(alone));
      await ack(subscription, alone);
    }
    expect(seen.toSorted()).toEqual(["a", "b", "c"]);
  });

  it("forgets by length and by age what every group has handled, and nothing else", async () => {
    const namespace = newPlace();
    const key = `herald:${namespace}:{c}`;
    const broker = await bench.opened({ namespace, sweepMs: 20, retentionLength: 100 });
    const [fast, slow] = [await broker.subscribe(spec), await broker.subscribe({ ...spec, group: "slow" })];
    for (let round = 0; round < 20; round++) {
      await broker.publish(Array.from({ length: 50 }, () => now()));
      await ack(fast, await take(fast, 50));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(async () => (await bench.server.command("EXISTS", `herald:${namespace}:sweeper`)) === 1);
    expect(await bench.server.command("XLEN", key)).toBe(1000);

    for (let round = 0; round < 10; round++) await ack(slow, await take(slow, 100));
    await until(async () => {
      await bench.server.command("DEL", `herald:${namespace}:sweeper`);
      return Number(await bench.server.command("XLEN", key)) < 300;
    });
    expect(Number(await bench.server.command("XLEN", key))).toBeGreaterThanOrEqual(10);
  });

  it("answers for publishes of a server that stands still, and goes on when it does", async () => {
    const server = await bench.own();
    const broker = await bench.opened({
      url: server.url,
      commandTimeoutMs: 400,
      maxReconnectMs: 50,
      connectTimeoutMs: 400,
    });
    const subscription = await broker.subscribe(spec);
    await broker.publish([now({ id: "before" })]);
    await server.pause();
    const startedAt = Date.now();
    const [result] = await broker.publish([now({ id: "during" })]);
    expect(result).toMatchObject({ ok: false, error: { code: "PUBLISH_UNKNOWN" } });
    expect(Date.now() - startedAt).toBeLessThan(800 + BUSY_MS);
    expect(broker.isConnected).toBe(false);
    expect((await broker.inspect()).state).toBe("down");
    await server.resume();

    await until(() => broker.isConnected);
    await broker.publish([now({ id: "during" })], { dedupe: true });
    await until(async () => {
      const found = await subscription.receive(10, 50);
      await ack(subscription, found);
      return idsOf(found).includes("during");
    });
  });

  it("sends what is ephemeral to who listens now, and stores nothing", async () => {
    const namespace = newPlace();
    const broker = await bench.opened({ namespace, ephemeral: ["live.#"] });
    const other = await bench.opened({ namespace, ephemeral: ["live.#"] });
    const [lost] = await broker.publish([now({ id: "lost", channel: "live.a" })]);
    expect(lost).toMatchObject({ ok: true, position: null, matched: 0 });
    const exact = await other.subscribe({ ...spec, pattern: "live.a", group: null });
    const wild = await broker.subscribe({ ...spec, pattern: "#", group: null });
    await broker.publish([now({ id: "heard", channel: "live.a", headers: { h: "1" } })]);

    for (const subscription of [exact, wild]) {
      const [found] = await take(subscription, 1);
      expect(found?.envelope).toMatchObject({ id: "heard", channel: "live.a", headers: { h: "1" } });
    }
    await expect(other.subscribe({ ...spec, pattern: "live.a" })).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
    expect(await broker.admin.list()).toEqual([]);
  });

  it("remembers what was handled for every process, and what is being handled for its own", async () => {
    const namespace = newPlace();
    const [one, two] = [await bench.opened({ namespace }), await bench.opened({ namespace })];
    const inbox = one.createInbox({ maxIds: 2 });
    const other = two.createInbox({ maxIds: 2 });
    expect([await inbox.claim("g", "a"), await inbox.claim("g", "a")]).toEqual(["new", "busy"]);
    expect(await other.claim("g", "a")).toBe("new");
    await inbox.commit("g", "a");
    await other.abandon("g", "a");
    expect([await other.claim("g", "a"), await other.claim("h", "a")]).toEqual(["done", "new"]);
    await other.abandon("h", "a");
    await other.claim("g", "b");
    await other.commit("g", "b");
    await expect(inbox.claim("g", "c")).rejects.toMatchObject({ code: "OVERLOADED" });
    const short = one.createInbox({ horizonMs: 30 });
    expect(await short.claim("s", "x")).toBe("new");
    await short.commit("s", "x");
    expect(await short.claim("s", "x")).toBe("done");
    await until(async () => (await short.claim("s", "x")) === "new");
  });

  it("is opened once, says what it lacks, and names a bad option", async () => {
    const broker = new RedisBroker({ url: "redis://127.0.0.1:1", connectTimeoutMs: 200 });
    await expect(broker.publish([now()])).rejects.toMatchObject({ code: "CLOSED" });
    await expect(broker.open()).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    const open = await bench.opened();
    await expect(open.subscribe({ ...spec, prefetch: 0 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(open.subscribe({ ...spec, from: { position: "x" } })).rejects.toMatchObject({
      details: { field: "from" },
    });
    for (const options of [
      { leaseMs: 0 },
      { url: "http://x" },
      { namespace: "a b" },
      { onWeakDurability: "x" },
    ])
      expect(() => new RedisBroker(options as never)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    expect(() => new RedisBroker({ url: "ftp://user:secret@x" })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining("secret") }),
    );
  });
});
