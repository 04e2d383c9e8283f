import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BullMQBroker } from "../../src/brokers/bullmq/broker.ts";
import { EVENTS } from "../../src/core/events.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { BullMQBench } from "../support/bullmq.ts";
import { ack, take } from "../support/taking.ts";
import { envelope } from "../support/envelopes.ts";
import { bullmqHarness } from "../support/harness-bullmq.ts";
import { startRedis } from "../support/servers/redis.ts";
import { whenRedis } from "../support/servers/when.ts";

const refusal = (code: string, field?: string) =>
  expect.objectContaining(
    field === undefined ? { code } : { code, details: expect.objectContaining({ field }) },
  );

whenRedis("bullmq", () => {
  const bench = new BullMQBench();
  beforeAll(() => bench.start());
  afterEach(() => bench.cleanUp());
  afterAll(() => bench.stop());

  testBroker(
    bullmqHarness(() => bench.redis),
    { describe, it },
  );
  standsInReadme(() => bullmqHarness(() => bench.redis), it);

  describe("a BullMQ broker", () => {
    it("reaches groups and listeners of other processes as soon as they have subscribed, and every pattern that covers", async () => {
      const prefix = newPlace();
      const [publisher, consumer] = [await bench.opened({ prefix }), await bench.opened({ prefix })];
      await publisher.publish([envelope({ id: "early", channel: "a.b" })]);
      const group = await consumer.subscribe({ pattern: "a.#", group: "g", prefetch: 10 });
      const listener = await consumer.subscribe({ pattern: "a.b", group: null, prefetch: 10 });
      const [result] = await publisher.publish([envelope({ id: "m", channel: "a.b" })]);

      expect(result).toMatchObject({ ok: true, matched: 2 });
      for (const subscription of [group, listener])
        expect((await take(subscription, 1))[0]?.envelope.id).toBe("m");
      await listener.close();
      expect((await publisher.publish([envelope({ id: "n", channel: "a.b" })]))[0]).toMatchObject({
        matched: 1,
      });
      expect(await bench.redis.command("KEYS", `${prefix}:a.b~~*`)).toEqual([]);
    });

    it("reaches whoever has subscribed also while it reads anew for something else", async () => {
      const prefix = newPlace();
      const [publisher, consumer] = [await bench.opened({ prefix }), await bench.opened({ prefix })];
      await consumer.subscribe({ pattern: "c", group: "g", prefetch: 10 });

      // What it reads first is answered first: by then the publish has found its way with what was known before.
      const looking = publisher.inspect();
      const [result] = await publisher.publish([envelope({ id: "m", channel: "c" })]);
      await looking;

      expect(result).toMatchObject({ ok: true, matched: 1 });
    });

    it("wakes a consumer of another process at once, for what is new and for what is due", async () => {
      const prefix = newPlace();
      const [publisher, consumer] = [
        await bench.opened({ prefix, pollMs: 60_000 }),
        await bench.opened({ prefix, pollMs: 60_000 }),
      ];
      const subscription = await consumer.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      const now = subscription.receive(1, 5000);
      await publisher.publish([envelope({ id: "now", channel: "c" })]);
      expect(await now).toHaveLength(1);

      const due = subscription.receive(1, 5000);
      await publisher.publish([envelope({ id: "due", channel: "c", deliverAt: Date.now() + 100 })]);
      expect(await due).toHaveLength(1);
    });

    it("wakes who has room when another of the group that has none waits too", async () => {
      const broker = await bench.opened({ prefix: newPlace(), pollMs: 60_000 });
      const [full, free] = [
        await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 }),
        await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 }),
      ];
      await broker.publish([envelope({ id: "first", channel: "c" })]);
      await take(full, 1);
      const without = full.receive(1, 3000).then(() => "who had no room");
      const within = free.receive(1, 60_000).then(([delivery]) => delivery?.envelope.id);
      await broker.publish([envelope({ id: "second", channel: "c" })]);

      expect(await Promise.race([within, without])).toBe("second");
      await full.close();
      await without;
    });

    it("forgets the broadcast subscription of a process that is gone, with what waits for it", async () => {
      const prefix = newPlace();
      const listener = await listening(bench, prefix, "news");
      const broker = await bench.opened({ prefix, broadcastGraceMs: 300 });
      await broker.publish([envelope({ id: "m", channel: "news" })]);
      expect(await bench.redis.command("KEYS", `${prefix}:news~~*:prioritized`)).toHaveLength(1);
      listener.kill("SIGKILL");
      await once(listener, "exit");

      const left = () => bench.redis.command("KEYS", `${prefix}:news~~*`);
      await expect.poll(left).toEqual([]);
      expect((await broker.publish([envelope({ id: "n", channel: "news" })]))[0]).toMatchObject({
        matched: 0,
      });
    });

    it("recognises an id within its window, also when its job is done", async () => {
      const broker = await bench.opened({ dedupeWindowMs: 200 });
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      const publish = async () => {
        const [result] = await broker.publish([envelope({ id: "m", channel: "c" })], { dedupe: true });
        return result?.ok === true && result.deduplicated;
      };
      expect(await publish()).toBe(false);
      await ack(subscription, await take(subscription, 1));
      expect(await publish()).toBe(true);
      await expect.poll(publish).toBe(false);
      expect(await take(subscription, 1)).toHaveLength(1);
    });

    it("needs two connections, however many subscriptions wait", async () => {
      const before = await connections(bench);
      const broker = await bench.opened();
      const waiting: Promise<unknown>[] = [];
      for (let n = 0; n < 200; n++) {
        const subscription = await broker.subscribe({ pattern: `c${n}`, group: "g", prefetch: 1 });
        waiting.push(subscription.receive(1, 60_000));
      }
      expect((await connections(bench)) - before).toBe(2);
      await broker.close();
      await Promise.all(waiting);
    });

    it("reports the durability that its server has, and tells of one that is too low or refuses it, as it was told", async () => {
      expect((await bench.made().open()).durability).toBe("os");
      await using weak = await startRedis({ appendonly: false });
      const faults: unknown[] = [];
      const listener = (event: unknown): void => void faults.push(event);
      EVENTS.fault.subscribe(listener);
      expect((await bench.made({ url: weak.url }).open()).durability).toBe("none");
      EVENTS.fault.unsubscribe(listener);
      expect(faults).toMatchObject([{ error: { code: "UNSAFE_STORAGE" }, where: "bullmq durability" }]);

      const strict = { url: weak.url, onWeakDurability: "refuse" } as const;
      await expect(bench.made(strict).open()).rejects.toEqual(refusal("UNSAFE_STORAGE"));
      expect((await bench.made({ ...strict, requireDurability: "none" }).open()).durability).toBe("none");
      await weak.command("CONFIG", "SET", "appendonly", "yes");
      expect((await bench.made(strict).open()).durability).not.toBe("none");
      await weak.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      await expect(bench.made(strict).open()).rejects.toThrow("evict");
    });

    it("says so when its server does not answer, and can be opened once it does", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      await server.kill();
      const broker = bench.made({ url: server.url });
      await expect(broker.open()).rejects.toEqual(refusal("NOT_CONNECTED"));
      await server.start();
      expect((await broker.open()).durability).toBe("os");
    });

    it("loses nothing that it acknowledged when its server is killed, says what it does not know, and goes on", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      const broker = bench.made({ url: server.url });
      await broker.open();
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      await broker.publish([envelope({ id: "kept", channel: "c" })]);
      await server.kill();
      const [down] = await broker.publish([envelope({ id: "down", channel: "c" })]);
      expect(down).toMatchObject({ ok: false, error: { retryable: true } });
      expect((await broker.inspect()).state).toBe("down");
      await server.start();

      await expect.poll(async () => (await broker.inspect()).state).toBe("up");
      await expect
        .poll(async () => (await broker.publish([envelope({ id: "again", channel: "c" })]))[0]?.ok)
        .toBe(true);
      const ids = (await take(subscription, 2)).map((delivery) => delivery.envelope.id);
      expect(ids).toEqual(["kept", "again"]);
    });

    it("tells what a server forgot, and reaches its subscribers and dead letters again with the next publish", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      const [broker, publisher] = [
        await bench.opened({ url: server.url, prefix: "p" }),
        bench.made({ url: server.url, prefix: "p" }),
      ];
      await publisher.open();
      await broker.admin.declare("dlq.a", { retentionMs: 60_000 });
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      await broker.publish([envelope({ id: "forgotten", channel: "c" })]);
      const told: unknown[] = [];
      const listener = (event: unknown): void => void told.push(event);
      EVENTS.dataLost.subscribe(listener);
      await server.command("FLUSHALL");
      await broker.publish([
        envelope({ id: "next", channel: "c" }),
        envelope({ id: "dead", channel: "dlq.a" }),
      ]);
      EVENTS.dataLost.unsubscribe(listener);

      expect(told).toMatchObject([{ channel: "c", group: "g", error: { code: "DATA_LOSS_DETECTED" } }]);
      expect((await take(subscription, 1))[0]?.envelope.id).toBe("next");
      expect(await broker.admin.browse("dlq.a", { limit: 5 })).toMatchObject([{ envelope: { id: "dead" } }]);
      expect((await publisher.publish([envelope({ channel: "c" })]))[0]).toMatchObject({ matched: 1 });
    });

    it("settles, once its server is back, what it was told while that was gone, and has room for more meanwhile", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      const broker = await bench.opened({ url: server.url, leaseMs: 60_000 });
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 });
      await broker.publish(["first", "second"].map((id) => envelope({ id, channel: "c" })));
      const first = await take(subscription, 1);
      await server.kill();
      const acknowledged = ack(subscription, first);
      await server.start();
      await acknowledged;
      expect((await take(subscription, 1))[0]?.envelope.id).toBe("second");
      expect((await broker.inspect({ channels: ["c"] })).channels[0]?.groups[0]?.lag).toBe(1);
    });

    it("says that it could not settle when its server is gone for longer than a lease, and has its room back", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      const broker = await bench.opened({ url: server.url, leaseMs: 200 });
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 });
      await broker.publish([envelope({ id: "first", channel: "c" })]);
      const first = await take(subscription, 1);
      await server.kill();
      await expect(ack(subscription, first)).rejects.toEqual(refusal("NOT_CONNECTED"));
      await server.start();
      await expect.poll(async () => (await broker.inspect()).state).toBe("up");
      const [again] = await take(subscription, 1);
      expect([again?.envelope.id, again?.attempt]).toEqual(["first", 2]);
    });

    it("hangs nobody on a server that is there and does not answer, and goes on when it does", async () => {
      const server = await startRedis();
      bench.after(() => server.stop());
      const broker = await bench.opened({ url: server.url, timeoutMs: 400 });
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      await server.pause();
      const answers = await Promise.all([
        broker.publish([envelope({ id: "m", channel: "c" })]),
        subscription.receive(1, 100).catch((error: unknown) => error),
        broker.inspect(),
      ]);
      await server.resume();

      expect(answers).toMatchObject([
        [{ ok: false, error: { code: "PUBLISH_UNKNOWN" } }],
        {},
        { state: "down" },
      ]);
      await expect.poll(async () => (await broker.inspect()).state).toBe("up");
      const [result] = await broker.publish([envelope({ id: "m", channel: "c" })], { dedupe: true });
      expect(result?.ok).toBe(true);
      expect(await take(subscription, 1)).toHaveLength(1);
      expect(await subscription.receive(1, 50)).toEqual([]);
    });

    it("remembers handled ids for every process, and lets go of what a dead one was at", async () => {
      const prefix = newPlace();
      const [one, two] = [await bench.opened({ prefix }), await bench.opened({ prefix })];
      const inbox = one.createInbox({ horizonMs: 200, maxIds: 2 });
      expect(await inbox.claim("g", "a")).toBe("new");
      expect(await inbox.claim("g", "a")).toBe("busy");
      expect(await two.createInbox().claim("g", "a")).toBe("new");
      await inbox.commit("g", "a");
      expect(await two.createInbox().claim("g", "a")).toBe("done");
      expect(await inbox.claim("h", "a")).toBe("new");
      await expect(inbox.claim("g", "b")).rejects.toEqual(refusal("OVERLOADED"));
      await inbox.abandon("h", "a");
      await expect.poll(() => two.createInbox().claim("g", "a")).toBe("new");
    });

    it.each([
      ["url", "http://localhost"],
      ["prefix", "a:b"],
      ["leaseMs", 0],
      ["keepCompleted", -1],
      ["requireDurability", "much"],
      ["onWeakDurability", "ignore"],
    ])("refuses a bad option %s, naming it", (field, value) => {
      expect(() => new BullMQBroker({ [field]: value })).toThrow(refusal("INVALID_ARGUMENT", field));
    });

    it("refuses to start from the past and to keep a strict order", async () => {
      const broker = await bench.opened();
      const spec = { pattern: "c", group: "g", prefetch: 1 } as const;
      await expect(broker.subscribe({ ...spec, from: "earliest" })).rejects.toEqual(
        refusal("UNSUPPORTED", "from"),
      );
      await expect(broker.subscribe({ ...spec, ordering: "strict" })).rejects.toEqual(
        refusal("UNSUPPORTED", "ordering"),
      );
    });
  });
});

/** Another process that subscribes to a broadcast; resolves once it is live. */
async function listening(bench: BullMQBench, prefix: string, pattern: string): Promise<ChildProcess> {
  const module = new URL("../../src/brokers/bullmq/broker.ts", import.meta.url);
  const options = JSON.stringify({ url: bench.redis.url, prefix, broadcastGraceMs: 300 });
  const spec = JSON.stringify({ pattern, group: null, prefetch: 1 });
  const script = `import { BullMQBroker } from "${module.href}";
    const broker = new BullMQBroker(${options});
    await broker.open();
    await broker.subscribe(${spec});
    console.log("live");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  bench.after(async () => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

async function connections(bench: BullMQBench): Promise<number> {
  const list = String(await bench.redis.command("CLIENT", "LIST"));
  return list.trim().split("\n").length;
}
