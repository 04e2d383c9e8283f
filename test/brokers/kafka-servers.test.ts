import { Admin, Consumer, Producer } from "@platformatic/kafka";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { PublishResult } from "../../src/core/broker.ts";
import type { Envelope } from "../../src/core/envelope.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { envelope } from "../support/envelopes.ts";
import { IMPATIENT, type KafkaBench, kafkaBench } from "../support/kafka.ts";
import { BUSY_MS, ack, idsOf, take, until } from "../support/taking.ts";
import { startKafka, type TestKafka } from "../support/servers/kafka.ts";
import { freePorts } from "../support/servers/server-process.ts";
import { whenStarted } from "../support/servers/when.ts";

interface Loss {
  readonly channel: string;
  readonly group: string;
  readonly count: number | null;
}

const spec = { pattern: "c", group: "g", prefetch: 100 };
const json = (init: Partial<Envelope> = {}) =>
  envelope({ time: Date.now(), body: Buffer.from('{"total":12}'), ...init });
const codeOf = (result: PublishResult | undefined) => (result?.ok === false ? result.error.code : "ok");

whenStarted("kafka", "a Kafka broker and its server", () => {
  const bench = kafkaBench(IMPATIENT);

  const urlOf = ({ host, port }: { readonly host: string; readonly port: number }) =>
    `kafka://${host}:${port}`;

  describe("spoken to by other programs", () => {
    it("gives a record that any client reads: the payload as value, the key as key, CloudEvents headers", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const sent = json({
        id: "m1",
        channel: "orders.created",
        key: "k7",
        type: "event",
        headers: { mine: "kept" },
      });
      await broker.publish([sent]);
      const consumer = new Consumer({
        clientId: "raw",
        groupId: `raw-${namespace}`,
        bootstrapBrokers: [hostOf(bench.server)],
      });
      bench.after(() => consumer.close(true));

      const stream = await consumer.consume({ topics: [`${namespace}.orders.created`], mode: "earliest" });
      bench.after(() => stream.close());
      const { value: record } = await stream[Symbol.asyncIterator]().next();

      expect(record!.value.toString()).toBe('{"total":12}');
      expect(record!.key.toString()).toBe("k7");
      const headers = Object.fromEntries(
        [...record!.headers].map(([name, value]: [Buffer, Buffer]) => [name.toString(), value.toString()]),
      );
      expect(headers).toMatchObject({
        ce_specversion: "1.0",
        ce_id: "m1",
        ce_source: "test",
        ce_type: "event",
        "content-type": "application/json",
        mine: "kept",
      });
    });

    it("takes a record that has nothing of ours, in a topic that another program made, under the same id every time", async () => {
      const namespace = newPlace();
      const bootstrapBrokers = [hostOf(bench.server)];
      const admin = new Admin({ clientId: "raw", bootstrapBrokers });
      await admin.createTopics({ topics: [`${namespace}.by.hand`], partitions: 1, replicas: 1 });
      await admin.close();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe({ ...spec, pattern: "by.*", from: "earliest" });
      const producer = new Producer({ clientId: "raw", bootstrapBrokers });
      bench.after(() => producer.close());

      await producer.send({
        messages: [{ topic: `${namespace}.by.hand`, value: Buffer.from("plain"), key: Buffer.from("k") }],
      });

      const [first] = await take(subscription, 1);
      expect(first?.envelope).toMatchObject({ channel: "by.hand", source: "external", key: "k" });
      expect(Buffer.from(first!.envelope.body).toString()).toBe("plain");
      await subscription.settle([{ kind: "nack", delivery: first!, delayMs: 0 }]);
      const [second] = await take(subscription, 1);
      expect([second?.envelope.id, second?.attempt]).toEqual([first?.envelope.id, 2]);
      expect(await broker.admin.list()).toContain("by.hand");
    });

    it("keeps the place of a group where Kafka's own tools look for it", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe({ ...spec, group: "billing" });
      await broker.publish([json({ channel: "c" }), json({ channel: "c" }), json({ channel: "c" })]);
      const [one, two] = await take(subscription, 3);
      await ack(subscription, [one!, two!]);

      const admin = new Admin({ clientId: "raw", bootstrapBrokers: [hostOf(bench.server)] });
      bench.after(() => admin.close());
      const [found] = await admin.listConsumerGroupOffsets({ groups: [`${namespace}.billing`] });

      const committed = found!.topics.flatMap(({ partitions }) =>
        partitions.map(({ committedOffset }) => committedOffset),
      );
      expect(committed).toContain(2n);
    });
  });

  it("tells how many messages went before a group had read them", async () => {
    const namespace = newPlace();
    const broker = await bench.opened({ namespace, partitions: 1 });
    const subscription = await broker.subscribe({ ...spec, pattern: "c" });
    await subscription.close();
    await broker.publish(Array.from({ length: 10 }, (_none, n) => json({ id: `m${n}`, channel: "c" })));
    const losses = bench.told<Loss>("herald:data-lost");
    const admin = new Admin({ clientId: "raw", bootstrapBrokers: [hostOf(bench.server)] });
    bench.after(() => admin.close());
    await admin.deleteRecords({
      topics: [{ name: `${namespace}.c`, partitions: [{ partition: 0, offset: 6n }] }],
    });

    const again = await broker.subscribe(spec);

    const left = await take(again, 4);
    expect(left.map(({ envelope: { id } }) => id)).toEqual(["m6", "m7", "m8", "m9"]);
    await until(() => losses.length > 0);
    expect(losses).toMatchObject([{ channel: "c", group: "g", count: 6 }]);
  });

  it("goes on where ids are recognised, and tells of the loss, when a partition ends before a group's place", async () => {
    const namespace = newPlace();
    const broker = await bench.opened({ namespace, partitions: 1 });
    const sent = ["m0", "m1", "m2"].map((id) => json({ id, channel: "c" }));
    await broker.publish(sent, { dedupe: true });
    const admin = new Admin({ clientId: "raw", bootstrapBrokers: [hostOf(bench.server)] });
    bench.after(() => admin.close());
    const partitionOffsets = [{ partition: 0, offset: 10n }];
    await admin.alterConsumerGroupOffsets({
      groupId: `${namespace}.${spec.group}`,
      topics: [{ name: `${namespace}.c`, partitionOffsets }],
    });
    const losses = bench.told<Loss>("herald:data-lost");

    const subscription = await broker.subscribe({ ...spec, from: "earliest" });

    expect(idsOf(await take(subscription, 3))).toEqual(["m0", "m1", "m2"]);
    expect(losses).toMatchObject([{ channel: "c", group: "g", count: null }]);
  });

  it("shares a channel with a second process's broker, and goes on alone when that one closes", async () => {
    const namespace = newPlace();
    const [one, two] = [
      await bench.opened({ namespace, partitions: 4 }),
      await bench.opened({ namespace, partitions: 4 }),
    ];
    const subscriptions = [await one.subscribe(spec), await two.subscribe(spec)];
    const counts = [0, 0];
    const ids = new Set<string>();
    const drain = async (total: number, at: readonly number[]) => {
      await until(async () => {
        for (const n of at) {
          const deliveries = await subscriptions[n]!.receive(100, 10);
          counts[n] = (counts[n] ?? 0) + deliveries.length;
          for (const {
            envelope: { id },
          } of deliveries)
            ids.add(id);
          await ack(subscriptions[n]!, deliveries);
        }
        return ids.size === total;
      });
    };
    let sent = 0;
    const publish = () =>
      one.publish(
        Array.from({ length: 40 }, () => json({ id: `m${sent}`, channel: "c", key: `k${sent++ % 20}` })),
      );

    // Until both have agreed who handles what, one of them may have it all.
    await until(async () => {
      await publish();
      await drain(sent, [0, 1]);
      return counts.every((count) => count > 0);
    });
    await two.close();
    counts.fill(0);
    await publish();
    await drain(sent, [0]);

    expect(counts).toEqual([40, 0]);
  });

  it("loses nothing that was acknowledged, and hangs on nothing, when its server is killed and comes back", async () => {
    const own = await startKafka();
    bench.after(() => own.stop());
    const broker = await bench.opened({ url: own.url });
    const subscription = await broker.subscribe(spec);
    const acknowledged = new Set<string>();
    const codes = new Set<string>();
    let isOver = false;
    let longestMs = 0;
    const publishing = (async () => {
      for (let n = 0; !isOver; n++) {
        const before = performance.now();
        const [result] = await broker.publish([json({ id: `m${n}`, channel: "c" })]);
        longestMs = Math.max(longestMs, performance.now() - before);
        if (result?.ok === true) acknowledged.add(`m${n}`);
        codes.add(codeOf(result));
      }
    })();
    await until(() => acknowledged.size > 50);

    await own.kill();
    const held = acknowledged.size;
    await until(() => !broker.isConnected);
    await own.start();
    await until(() => acknowledged.size > held + 50);
    isOver = true;
    await publishing;

    const received = new Set<string>();
    await until(async () => {
      const deliveries = await subscription.receive(100, 50).catch(() => []);
      for (const {
        envelope: { id },
      } of deliveries)
        received.add(id);
      await ack(subscription, deliveries).catch(() => undefined);
      return [...acknowledged].every((id) => received.has(id));
    });
    expect([...codes].filter((code) => !["ok", "NOT_CONNECTED", "PUBLISH_UNKNOWN"].includes(code))).toEqual(
      [],
    );
    expect(longestMs).toBeLessThan(8000 + BUSY_MS);
  });

  it("notices a link on which nothing passes, for publishers and for consumers, and comes back with it", async () => {
    await using proxy = await FaultProxy.before(bench.server);
    const namespace = newPlace();
    const away = await bench.opened({ url: urlOf(proxy.address), namespace });
    const near = await bench.opened({ namespace });
    const subscription = await away.subscribe(spec);
    await away.publish([json({ id: "before", channel: "c" })]);
    await ack(subscription, await take(subscription, 1));

    proxy.set({ frozen: "both" });
    const before = performance.now();
    const [refused] = await away.publish([json({ id: "lost", channel: "c" })]);
    expect(codeOf(refused)).toMatch(/^(PUBLISH_UNKNOWN|NOT_CONNECTED)$/);
    expect(performance.now() - before).toBeLessThan(6000 + BUSY_MS);
    expect(codeOf((await near.publish([json({ id: "meanwhile", channel: "c" })]))[0])).toBe("ok");
    proxy.set({});

    const found = new Set<string>();
    await until(async () => {
      const deliveries = await subscription.receive(10, 100);
      for (const {
        envelope: { id },
      } of deliveries)
        found.add(id);
      await ack(subscription, deliveries).catch(() => undefined);
      return found.has("meanwhile");
    });
    expect(codeOf((await away.publish([json({ id: "after", channel: "c" })]))[0])).toBe("ok");
  });

  describe("that cannot be had", () => {
    it("is NOT_CONNECTED when nobody listens", async () => {
      const [port] = await freePorts(1);
      await expect(bench.opened({ url: `kafka://127.0.0.1:${port}` })).rejects.toMatchObject({
        code: "NOT_CONNECTED",
      });
    });

    it("is NOT_CONNECTED when TLS is asked of a server that speaks none", async () => {
      const url = bench.server.url.replace("kafka:", "kafkas:");
      await expect(bench.opened({ url })).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    });
  });

  it("takes the right credentials over TLS that its authority vouches for, and refuses what is wrong by its code", async () => {
    const { ca, config } = secured(bench);
    const own = await startKafka({ config });
    bench.after(() => own.stop());
    await using proxy = await FaultProxy.before(own);
    const url = urlOf(proxy.address).replace("kafka:", "kafkas:");
    const sasl = { mechanism: "PLAIN", username: "me", password: "secret" } as const;

    const broker = await bench.opened({ url, tls: { ca }, sasl });
    expect(codeOf((await broker.publish([json()]))[0])).toBe("ok");
    await expect(
      bench.opened({ url, tls: { ca }, sasl: { ...sasl, password: "wrong" } }),
    ).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
    await expect(bench.opened({ url, sasl })).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    const faults = bench.told<{ readonly where: string }>("herald:fault");
    await bench.opened({ url, sasl, tls: { insecure: true } });
    expect(faults.map(({ where }) => where)).toContain("kafka tls");
  });
});

function hostOf({ address }: TestKafka): string {
  return `${address.host}:${address.port}`;
}

/** A certificate for this machine, and a server that has it and knows one user, on the listener behind a proxy. */
function secured(bench: KafkaBench) {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-tls-"));
  bench.after(() => rmSync(folder, { recursive: true, force: true }));
  const [cert, key] = [path.join(folder, "cert.pem"), path.join(folder, "key.pem")];
  const subject = ["-subj", "/CN=herald", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", ...subject],
    { stdio: "ignore" },
  );
  const lineOf = (file: string) =>
    readFileSync(file, "utf8")
      .trim()
      .replaceAll("\n", String.raw`\n`);
  const config = {
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:SASL_SSL,CONTROLLER:PLAINTEXT",
    "listener.name.proxied.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.proxied.plain.sasl.jaas.config":
      'org.apache.kafka.common.security.plain.PlainLoginModule required user_me="secret";',
    "listener.name.proxied.ssl.keystore.type": "PEM",
    "listener.name.proxied.ssl.keystore.certificate.chain": lineOf(cert),
    "listener.name.proxied.ssl.keystore.key": lineOf(key),
  };
  return { ca: readFileSync(cert, "utf8"), config };
}
