import { appendFileSync, readdirSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PublishResult } from "../../src/core/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { RedisBench } from "../support/redis.ts";
import { BUSY_MS, ack, idsOf, take, takeAll, until } from "../support/taking.ts";
import { whenRedis } from "../support/servers/when.ts";

const refusal = (code: string) => expect.objectContaining({ code });
const spec = { pattern: "c", group: "g", prefetch: 100 };
const many = (count: number, prefix = "m") =>
  Array.from({ length: count }, (_none, at) => envelope({ id: `${prefix}${at}`, time: Date.now() }));
const codesOf = (results: readonly PublishResult[]) =>
  results.map((result) => (result.ok ? "ok" : result.error.code));

whenRedis("facts about Redis", () => {
  const bench = new RedisBench();
  beforeAll(() => bench.start());
  afterEach(() => bench.cleanUp());
  afterAll(() => bench.stop());

  describe("fact 1: what a server keeps", () => {
    it.each([
      [{ appendfsync: "always" } as const, "os"],
      [{ appendfsync: "everysec" } as const, "process"],
      [{ appendonly: false } as const, "none"],
    ])("is read from it: with %j it is '%s'", async (options, durability) => {
      const server = await bench.own(options);
      const faults = bench.told("herald:fault");
      const broker = bench.made({ url: server.url });

      expect((await broker.open()).durability).toBe(durability);
      expect(faults).toHaveLength(durability === "none" ? 1 : 0);
    });

    it("is refused when it is less than what is asked for and the policy says so", async () => {
      const server = await bench.own({ appendonly: false });
      const weak = bench.made({ url: server.url, onWeakDurability: "refuse" });
      await expect(weak.open()).rejects.toEqual(refusal("UNSAFE_STORAGE"));

      const strong = bench.made({ onWeakDurability: "refuse", requireDurability: "os" });
      expect((await strong.open()).durability).toBe("os");
      await bench.server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      bench.after(() => bench.server.command("CONFIG", "SET", "maxmemory-policy", "noeviction"));
      const evicting = bench.made({ onWeakDurability: "refuse" });
      await expect(evicting.open()).rejects.toThrow("noeviction");
    });

    it("is what it said, through a kill of the server amid publishes", async () => {
      const server = await bench.own();
      const broker = await bench.opened({ url: server.url, maxReconnectMs: 100 });
      const subscription = await broker.subscribe({ ...spec, prefetch: 10_000 });
      const acknowledged: string[] = [];
      let isOver = false;
      const publishing = (async () => {
        for (let round = 0; !isOver; round++) {
          const batch = many(20, `r${round}-`);
          const results = await broker.publish(batch);
          for (const [at, result] of results.entries()) if (result.ok) acknowledged.push(batch[at]?.id ?? "");
        }
      })();
      for (let kill = 0; kill < 3; kill++) {
        const before = acknowledged.length;
        await until(() => acknowledged.length > before + 100);
        await server.kill();
        await server.start();
        const restarted = Date.now();
        const then = acknowledged.length;
        await until(() => acknowledged.length > then);
        expect(Date.now() - restarted).toBeLessThan(1000 + BUSY_MS);
      }
      isOver = true;
      await publishing;

      await takeAll(subscription, acknowledged);
    });
  });

  it("fact 2: a server that takes no more writes is STORAGE_FULL, and heals without a restart", async () => {
    const server = await bench.own();
    const broker = await bench.opened({ url: server.url });
    const subscription = await broker.subscribe(spec);
    await broker.publish(many(1));
    await server.command("CONFIG", "SET", "maxmemory", "1");

    expect(codesOf(await broker.publish(many(2, "full")))).toEqual(["STORAGE_FULL", "STORAGE_FULL"]);
    expect(codesOf(await broker.publish(many(1, "other"), { dedupe: true }))).toEqual(["STORAGE_FULL"]);
    await ack(subscription, await take(subscription, 1));
    await server.command("CONFIG", "SET", "maxmemory", "0");
    expect(codesOf(await broker.publish(many(1, "healed")))).toEqual(["ok"]);
    expect(idsOf(await take(subscription, 1))).toEqual(["healed0"]);
  });

  it.each([0, 2])(
    "fact 3: entries that are trimmed away unread, %i having been read, are noticed within 5 s and counted",
    async (read) => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const losses = bench.losses();
      const subscription = await broker.subscribe(spec);
      await broker.publish(many(6));
      await ack(subscription, await take(subscription, read));
      await bench.server.command("XTRIM", `herald:${namespace}:{c}`, "MAXLEN", "1");

      await until(() => losses.length > 0);
      expect(losses).toEqual([expect.objectContaining({ channel: "c", group: "g", count: 5 - read })]);
      expect(idsOf(await take(subscription, 1))).toEqual(["m5"]);
      expect((await broker.inspect({ channels: ["c"] })).channels[0]?.groups[0]?.lag).toBe(1);
    },
  );

  it("fact 4: entries that are trimmed while they are handed out are counted once their holder is gone", async () => {
    const namespace = newPlace();
    const broker = await bench.opened({ namespace });
    const losses = bench.losses();
    const subscription = await broker.subscribe(spec);
    await broker.publish(many(3));
    await take(subscription, 3);
    await bench.server.command("XTRIM", `herald:${namespace}:{c}`, "MAXLEN", "1");

    await until(() => losses.length > 0);
    expect(losses).toEqual([expect.objectContaining({ count: 2 })]);
    expect(idsOf(await take(subscription, 1))).toEqual(["m2"]);
  });

  it.each([
    ["FLUSHALL", () => ["FLUSHALL"]],
    ["DEL of the stream", (key: string) => ["DEL", key]],
    ["XGROUP DESTROY", (key: string) => ["XGROUP", "DESTROY", key, "g"]],
  ])(
    "fact 5: after %s what is published is read within a second, and the loss is told",
    async (what, command) => {
      const server = await bench.own();
      const namespace = newPlace();
      const broker = await bench.opened({ url: server.url, namespace });
      const away = await broker.subscribe({ ...spec, group: "away" });
      await away.close();
      const losses = bench.losses();
      const subscription = await broker.subscribe(spec);
      await broker.publish(many(4));
      await take(subscription, 1);
      await until(async () => (await broker.inspect({ channels: ["c"] })).channels[0]?.groups.length === 2);
      // What it counted last is what it can tell: a look comes every second.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await server.command(...command(`herald:${namespace}:{c}`));

      const deletedAt = Date.now();
      await broker.publish(many(1, "after"));
      await until(async () => idsOf(await subscription.receive(10, 50)).includes("after0"));
      expect(Date.now() - deletedAt).toBeLessThan(1000 + BUSY_MS);
      await until(() => losses.some(({ group }) => group === "g"));
      expect(losses.find(({ group }) => group === "g")?.count).not.toBe(0);
      if (what === "XGROUP DESTROY") return;
      // The group that is away has not been forgotten with the keys.
      expect(idsOf(await take(await broker.subscribe({ ...spec, group: "away" }), 1))).toEqual(["after0"]);
    },
  );

  it("fact 5: a server that is emptied while nothing is published is noticed too", async () => {
    const server = await bench.own();
    const broker = await bench.opened({ url: server.url });
    const losses = bench.losses();
    const subscription = await broker.subscribe(spec);
    await broker.subscribe({ pattern: "wild.*", group: "w", prefetch: 1 });
    await broker.publish(many(4));
    await until(async () => (await take(subscription, 1)).length === 1);
    await server.command("FLUSHALL");

    await until(() => losses.length > 0);
    await until(async () => (await broker.admin.list()).includes("c"));
    const other = await bench.opened({ url: server.url, namespace: "unrelated" });
    expect(await other.admin.list()).toEqual([]);
  });

  describe("fact 6: a consumer that is gone", () => {
    it("is forgotten only when it holds nothing: what it held is handed out again", async () => {
      const namespace = newPlace();
      const key = `herald:${namespace}:{c}`;
      const broker = await bench.opened({ namespace });
      await (await broker.subscribe(spec)).close();
      await broker.publish(many(3));
      // A process that died: it holds two and will never say so.
      await bench.server.command("XREADGROUP", "GROUP", "g", "dead", "COUNT", "2", "STREAMS", key, ">");

      const subscription = await broker.subscribe(spec);
      const found = await take(subscription, 3);
      expect(idsOf(found).toSorted()).toEqual(["m0", "m1", "m2"]);
      expect(found.filter(({ attempt }) => attempt === 2)).toHaveLength(2);
      await ack(subscription, found);
      await until(
        async () =>
          !JSON.stringify(await bench.server.command("XINFO", "CONSUMERS", key, "g")).includes("dead"),
      );
    });

    it("leaves no name behind when it closes, and its messages go to others within a second, uncounted", async () => {
      const namespace = newPlace();
      const key = `herald:${namespace}:{c}`;
      const staying = await bench.opened({ namespace, leaseMs: 60_000 });
      const subscription = await staying.subscribe(spec);
      for (let life = 0; life < 20; life++) {
        const broker = await bench.opened({ namespace, leaseMs: 60_000 });
        const member = await broker.subscribe(spec);
        await staying.publish(many(1, `life${life}-`));
        const taken = await member.receive(1, 20);
        await broker.close();
        const found = await take(subscription, 1);
        expect([idsOf(found), found[0]?.attempt]).toEqual([[`life${life}-0`], 1]);
        expect(taken.length).toBeLessThanOrEqual(1);
        await ack(subscription, found);
      }
      const names = (await bench.server.command("XINFO", "CONSUMERS", key, "g")) as readonly unknown[];
      expect(names.length).toBeLessThanOrEqual(2);
    });
  });

  it("fact 13: a path that is cut amid publishes settles every one of them, and none is sent twice", async () => {
    const sockets = new Set<Socket>();
    let isMute = false;
    const proxy = createServer((from) => {
      const to = connect(bench.server.port, "127.0.0.1");
      for (const socket of [from, to]) {
        sockets.add(socket);
        socket.on("error", () => {}).on("close", () => [from, to].forEach((end) => end.destroy()));
      }
      from.pipe(to);
      to.on("data", (bytes) => isMute || from.write(bytes));
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    bench.after(() => proxy.close());
    const { port } = proxy.address() as AddressInfo;
    const namespace = newPlace();
    const broker = await bench.opened({ namespace, url: `redis://127.0.0.1:${port}`, maxReconnectMs: 50 });
    await broker.publish(many(1, "first"));

    const publish = (at: number) => broker.publish(many(200, `b${at}-`));
    const running = [publish(0), publish(1), publish(2)];
    await Promise.all(running);
    isMute = true;
    for (let at = 3; at < 20; at++) running.push(publish(at));
    const length = () => bench.server.command("XLEN", `herald:${namespace}:{c}`);
    await until(async () => Number(await length()) > 601);
    isMute = false;
    for (const socket of sockets) socket.resetAndDestroy();
    const codes = (await Promise.all(running)).flatMap(codesOf);
    expect(codes.filter((code) => !["ok", "PUBLISH_UNKNOWN", "NOT_CONNECTED"].includes(code))).toEqual([]);
    expect(codes).toContain("PUBLISH_UNKNOWN");
    expect(codesOf(await broker.publish(many(1, "offline")))[0]).toMatch(/^(NOT_CONNECTED|ok)$/);

    await until(() => broker.isConnected);
    const stored = (await broker.admin.browse("c", { limit: 10_000 })).map(({ envelope: { id } }) => id);
    expect(new Set(stored).size).toBe(stored.length);
    const confirmed = codes.filter((code) => code === "ok").length;
    expect(stored.length).toBeGreaterThanOrEqual(confirmed);
    const [again] = await broker.publish(many(1, "first"), { dedupe: true });
    expect(again).toMatchObject({ ok: true });
  });

  it("what is trimmed before a new group was first looked at is counted too, also behind a purge", async () => {
    const losses = bench.losses();
    // The first look comes half a second after the broker was opened.
    const broker = await bench.opened({ namespace: "trims", sweepMs: 10_000 });
    await broker.subscribe(spec);
    await broker.publish(many(3, "purged"));
    await broker.admin.purge("c");
    await broker.publish(many(10, "m"));
    await bench.server.command("XTRIM", "herald:trims:{c}", "MAXLEN", "4");

    await until(() => losses.length > 0);
    expect(losses).toMatchObject([{ channel: "c", group: "g", count: 6 }]);
  });

  it("a transaction that a kill left half written in the log does no harm where the log is mended before the start", async () => {
    const server = await bench.own();
    const losses = bench.losses();
    const broker = await bench.opened({ url: server.url, namespace: "shop", maxReconnectMs: 100 });
    const subscription = await broker.subscribe(spec);
    const passes = async (prefix: string): Promise<void> => {
      await until(async () => codesOf(await broker.publish(many(1, prefix)))[0] === "ok");
      const taken = await take(subscription, 1);
      expect(idsOf(taken)).toEqual([`${prefix}0`]);
      await ack(subscription, taken);
    };
    await passes("before");
    await server.kill();
    tear(server.folder, ["XADD", "herald:shop:{c}", `${Date.now()}-0`, "id", "torn"]);
    await server.start();
    await passes("between");
    await server.kill();
    await server.start();
    await passes("after");

    const stored = await broker.admin.browse("c", { limit: 10 });
    expect(stored.map(({ envelope: { id } }) => id)).toEqual(["before0", "between0", "after0"]);
    // What was handled is no loss, and a count that the log does not hold is none either: not when this server is first looked at.
    const [, run] = /run_id:(\w+)/.exec(String(await server.command("INFO", "server"))) ?? [];
    await until(async () => (await server.command("HGET", "herald:shop:{c}:g:g:floor", "~")) === run);
    expect(losses).toEqual([]);
  });
});

/** Leaves at the end of a server's log what a kill in the middle of writing a transaction leaves there. */
function tear(folder: string, command: readonly string[]): void {
  const logs = path.join(folder, "appendonlydir");
  const last = readdirSync(logs).find((name) => name.endsWith(".incr.aof")) ?? "";
  const inProtocol = (words: readonly string[]) =>
    `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
  appendFileSync(path.join(logs, last), `${inProtocol(["MULTI"])}${inProtocol(command)}*1\r\n$4\r\nEX`);
}
