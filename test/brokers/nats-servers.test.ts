import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { consumerOf } from "../../src/brokers/nats/names.ts";
import type { NatsBroker } from "../../src/brokers/nats/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { envelope } from "../support/envelopes.ts";
import { NatsBench } from "../support/nats.ts";
import { ack, idsOf, take, takeAll, until } from "../support/taking.ts";
import { publishThroughKill } from "../support/through-kill.ts";
import { startNatsCluster } from "../support/servers/nats-cluster.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 100 };
const now = (init: Parameters<typeof envelope>[0] = {}) =>
  envelope({ time: Date.now(), channel: "c", ...init });
const publish = async (broker: NatsBroker, ...ids: readonly string[]) => {
  const results = await broker.publish(ids.map((id) => now({ id })));
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
};

whenStarted("nats", "a NATS broker and its servers", () => {
  const bench = new NatsBench();
  beforeAll(() => bench.start());
  afterAll(() => bench.stop());
  afterEach(() => bench.cleanUp());

  describe("when the server goes and comes back", () => {
    it("goes on after a kill, with everything that was acknowledged", async () => {
      const server = await bench.own();
      const broker = await bench.opened({ url: server.url });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "m0", "m1", "m2");
      const waiting = (await broker.subscribe({ ...spec, pattern: "later" })).receive(1, 20_000);

      await server.kill();
      expect(broker.isConnected || (await broker.inspect()).state === "down").toBe(true);
      await server.start();

      await until(() => broker.isConnected);
      expect(idsOf(await take(subscription, 3))).toEqual(["m0", "m1", "m2"]);
      await until(async () => (await broker.publish([now({ id: "x", channel: "later" })]))[0]?.ok);
      expect(idsOf(await waiting)).toEqual(["x"]);
    });

    it("refuses a publish while there is no server, or stores it: it never hangs and never loses", async () => {
      const server = await bench.own();
      const broker = await bench.opened({ url: server.url });
      const subscription = await broker.subscribe(spec);
      const stored = await publishThroughKill(broker, server);
      await takeAll(subscription, stored);
    });

    it("counts an attempt that the killed server has forgotten", async () => {
      const server = await bench.own();
      const namespace = newPlace();
      const broker = await bench.opened({ url: server.url, namespace });
      const other = await bench.opened({ url: server.url, namespace, connectTimeoutMs: 4999 });
      const subscription = await broker.subscribe(spec);
      const beside = await other.subscribe(spec);
      await publish(broker, "m");
      const [first] = await take(subscription, 1);
      expect(first?.attempt).toBe(1);
      // Before the server has written down what it delivered.
      await server.kill();
      await server.start();

      const again = await Promise.race([take(beside, 1), take(subscription, 1)]);
      expect(again[0]).toMatchObject({ attempt: 2, envelope: { id: "m" } });
    });

    it("counts it in a process too that comes only afterwards", async () => {
      const server = await bench.own();
      const namespace = newPlace();
      const broker = await bench.opened({ url: server.url, namespace });
      const subscription = await broker.subscribe(spec);
      const ids = Array.from({ length: 20 }, (_, n) => `m${n}`);
      // One by one, so that the server is killed between two looks at what it has to write down.
      for (const id of ids) {
        await publish(broker, id);
        await take(subscription, 1);
      }
      await server.kill();
      await server.start();

      const late = await bench.opened({ url: server.url, namespace, connectTimeoutMs: 4999 });
      const again = await take(await late.subscribe(spec), ids.length);
      expect(again.map(({ attempt, envelope: { id } }) => [id, attempt])).toEqual(
        expect.arrayContaining(ids.map((id) => [id, 2])),
      );
    });
  });

  describe("on a bad way to the server", () => {
    it("notices a link that is half open, and is back when another stands", async () => {
      await using proxy = await FaultProxy.before(bench.server);
      const { host, port } = proxy.address;
      const broker = await bench.opened({ url: `nats://${host}:${port}` });
      const subscription = await broker.subscribe(spec);
      proxy.set({ frozen: "both" });

      const [unknown] = await broker.publish([now({ id: "frozen" })]);
      expect(unknown).toMatchObject({ ok: false, error: { code: "PUBLISH_UNKNOWN" } });
      await until(() => !broker.isConnected);
      proxy.reset();
      proxy.set({});

      await until(async () => (await broker.publish([now({ id: "back" })]))[0]?.ok);
      const got: string[] = [];
      await until(async () => {
        got.push(...idsOf(await subscription.receive(10, 200)));
        return got.includes("back");
      });
    });

    it("never hangs a publish on a server that is held", async () => {
      const server = await bench.own();
      const broker = await bench.opened({ url: server.url });
      await server.pause();
      const [held] = await broker.publish([now({ id: "held" })]);
      expect(held).toMatchObject({ ok: false, error: { code: "PUBLISH_UNKNOWN" } });
      await server.resume();
      await until(async () => (await broker.publish([now({ id: "after" })]))[0]?.ok);
    });
  });

  describe("when somebody deletes what it needs", () => {
    it("makes a consumer again that is gone, and goes on behind what was acknowledged", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "m0", "m1", "m2");
      await ack(subscription, await take(subscription, 3));
      await until(async () => (await broker.inspect({ channels: ["c"] })).channels[0]?.groups[0]?.lag === 0);
      const waiting = subscription.receive(1, 10_000);
      const manager = await jetstreamManager(await bench.raw());
      await manager.consumers.delete(namespace, consumerOf("c", "g"));

      await publish(broker, "m3");
      const got = idsOf(await waiting);
      const rest = async () => got.push(...idsOf(await subscription.receive(10, 100)));
      await until(async () => got.includes("m3") || ((await rest()) > 0 && got.includes("m3")));
    });

    it("goes on with a consumer that somebody has made in the place of its own", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      const waiting = subscription.receive(1, 10_000);
      const manager = await jetstreamManager(await bench.raw());
      const name = consumerOf("c", "g");
      await until(async () => (await manager.consumers.info(namespace, name)).num_waiting > 0);
      const { config } = await manager.consumers.info(namespace, name);
      await manager.consumers.delete(namespace, name);
      // The broker may be faster.
      await manager.consumers.add(namespace, config).catch(() => undefined);
      await publish(broker, "m");
      expect(idsOf(await waiting)).toEqual(["m"]);
    });

    it("makes a stream again that is gone, tells of the loss, and goes on", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "m0", "m1");
      await until(async () => (await broker.inspect({ channels: ["c"] })).channels[0]?.groups[0]?.lag === 2);
      const losses = bench.told<{ channel: string; count: number }>("herald:data-lost");
      const other = await bench.raw();
      // What was published counts as known once the broker has looked: with the third question the second is answered.
      const looks = other.subscribe(`$JS.API.CONSUMER.INFO.${namespace}.>`);
      await until(() => looks.getReceived() >= 3);
      const manager = await jetstreamManager(other);
      await manager.streams.delete(namespace);

      await until(async () => (await broker.publish([now({ id: "m2" })]))[0]?.ok);
      expect(idsOf(await take(subscription, 1))).toEqual(["m2"]);
      await until(() => losses.some(({ channel, count }) => channel === "c" && count === 2));
    });

    it("tells nothing of what it was asked to take away itself", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const other = await bench.opened({ namespace, connectTimeoutMs: 4999 });
      const subscription = await broker.subscribe(spec);
      await other.subscribe({ ...spec, group: "h" });
      const losses = bench.told<{ channel: string }>("herald:data-lost");
      await publish(broker, "m0", "m1");
      await broker.admin.purge("c");
      await publish(broker, "m2");
      expect(idsOf(await take(subscription, 1))).toEqual(["m2"]);
      const manager = await jetstreamManager(await bench.raw());
      const looks = async () => (await manager.consumers.info(namespace, consumerOf("c", "h"))).num_pending;
      await until(async () => (await looks()) === 1);
      await ack(subscription, await subscription.receive(10, 1000));
      expect(losses.filter(({ channel }) => channel === "c")).toEqual([]);
    });
  });

  describe("over TLS", () => {
    /** A server with a certificate for `name`, which vouches for itself. */
    async function secured(name: string) {
      const folder = mkdtempSync(path.join(tmpdir(), "herald-tls-"));
      bench.after(() => rmSync(folder, { recursive: true, force: true }));
      const [cert, key] = ["cert.pem", "key.pem"].map((file) => path.join(folder, file)) as [string, string];
      const made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
      ];
      const subject = ["-subj", "/CN=herald", "-addext", `subjectAltName=${name}`];
      execFileSync("openssl", [...made, ...subject], { stdio: "ignore" });
      // Who asks whether it is there does so without.
      const config = { tls: `{ cert_file: "${cert}", key_file: "${key}" }`, allow_non_tls: "true" };
      const server = await bench.own({ config });
      return { url: server.url.replace("nats:", "tls:"), ca: readFileSync(cert, "utf8") };
    }

    it("takes a server that its authority vouches for, and refuses it without", async () => {
      const { url, ca } = await secured("IP:127.0.0.1");
      await publish(await bench.opened({ url, tls: { ca } }), "m");

      await expect(bench.opened({ url })).rejects.toMatchObject({ code: "NOT_CONNECTED" });
      const faults = bench.told<{ where: string }>("herald:fault");
      await bench.opened({ url, tls: { insecure: true } });
      expect(faults.map(({ where }) => where)).toEqual(["nats tls"]);
    });

    it("refuses a certificate for another host", async () => {
      const { url, ca } = await secured("DNS:elsewhere.example");
      await expect(bench.opened({ url, tls: { ca } })).rejects.toThrow(/altnames|Host/i);
    });
  });

  describe("when it cannot be opened", () => {
    const codeOf = (broker: NatsBroker) =>
      broker.open().then(
        () => "it opened",
        (error: { code: string }) => error.code,
      );

    it("says why, by a code", async () => {
      expect(() => bench.made({ url: "http://x" })).toThrow(/nats: or tls:/);
      expect(() => bench.made({ namespace: "a.b" })).toThrow(/namespace/);
      expect(await codeOf(bench.made({ url: "nats://127.0.0.1:1" }))).toBe("NOT_CONNECTED");
      const accounts = '{ A: { jetstream: enabled, users: [{ user: "a", password: "b" }] } }';
      const guarded = await bench.own({ config: { accounts, no_auth_user: "a" } });
      const as = (who: string) => guarded.url.replace("//", `//${who}@`);
      expect(await codeOf(bench.made({ url: as("a:wrong") }))).toBe("UNAUTHENTICATED");
      expect(await codeOf(bench.made({ url: as("a:b") }))).toBe("it opened");
      expect(await codeOf(bench.made({ url: bench.server.url.replace("nats:", "tls:") }))).toBe(
        "NOT_CONNECTED",
      );
    });

    it("refuses storage that is too weak where that is asked for", async () => {
      const weak = bench.made({ storage: "memory", onWeakDurability: "refuse" });
      await expect(weak.open()).rejects.toMatchObject({ code: "UNSAFE_STORAGE" });
    });
  });

  it("keeps its streams on three servers, and goes on when one of them is killed", async () => {
    const cluster = await startNatsCluster();
    bench.after(() => cluster.stop());
    const [first, ...others] = cluster.nodes;
    const servers = others.map(({ port }) => `127.0.0.1:${port}`);
    const broker = await bench.opened({
      url: first?.url ?? "",
      servers,
      replicas: 3,
      commandTimeoutMs: 3000,
    });
    const subscription = await broker.subscribe(spec);
    await publish(broker, "m0", "m1");
    expect(new Set(idsOf(await take(subscription, 2)))).toEqual(new Set(["m0", "m1"]));

    await first?.kill();
    await until(async () => (await broker.publish([now({ id: "m2" })], { dedupe: true }))[0]?.ok);
    const got = new Set<string>();
    await until(async () => {
      for (const id of idsOf(await subscription.receive(10, 500))) got.add(id);
      return got.has("m2");
    });
  });
});
