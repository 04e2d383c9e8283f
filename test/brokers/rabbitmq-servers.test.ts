import { connect, type ChannelModel } from "amqplib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { RabbitBroker } from "../../src/brokers/rabbitmq/broker.ts";
import type { Delivery } from "../../src/core/delivery.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { envelope } from "../support/envelopes.ts";
import { RabbitBench } from "../support/rabbitmq.ts";
import { ack, idsOf, take, takeAll, until } from "../support/taking.ts";
import { publishThroughKill } from "../support/through-kill.ts";
import { freePorts } from "../support/servers/server-process.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 100 };
const now = (init: Parameters<typeof envelope>[0] = {}) =>
  envelope({ time: Date.now(), channel: "c", ...init });
const publish = async (broker: RabbitBroker, ...ids: readonly string[]) => {
  const results = await broker.publish(ids.map((id) => now({ id })));
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
};

/** A way to the server that can be taken away. */
async function wayTo(bench: RabbitBench): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const proxy = await FaultProxy.before(bench.server);
  bench.after(() => proxy[Symbol.asyncDispose]());
  const { host, port } = proxy.address;
  return { proxy, url: `amqp://guest:guest@${host}:${port}` };
}

/** Two brokers of one namespace, each on a way of its own, and somebody with the client alone. */
async function twoWays(bench: RabbitBench) {
  const namespace = newPlace();
  const [readers, writers] = [await wayTo(bench), await wayTo(bench)];
  const reader = await bench.opened({ namespace, url: readers.url });
  const writer = await bench.opened({ namespace, url: writers.url });
  const down = async (): Promise<void> => {
    await Promise.all([readers.proxy.down(), writers.proxy.down()]);
    await until(() => !reader.isConnected && !writer.isConnected);
    // Long enough for more than one attempt to connect: the server was away.
    await new Promise((resolve) => setTimeout(resolve, 500));
  };
  const ways = { down, readers: readers.proxy, writers: writers.proxy };
  const operator = await (await raw(bench, bench.server.url)).createChannel();
  return { namespace, reader, writer, ways, operator };
}

whenStarted("rabbitmq", "a RabbitMQ broker and its servers", () => {
  const bench = new RabbitBench();
  beforeAll(() => bench.start());
  afterAll(() => bench.stop());
  afterEach(() => bench.cleanUp());

  describe("when the server goes and comes back", () => {
    it("goes on after a kill, with everything that was acknowledged", async () => {
      const { server } = bench;
      const broker = await bench.opened({ url: server.url });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "m0", "m1", "m2");
      const waiting = (await broker.subscribe({ ...spec, pattern: "later" })).receive(1, 40_000);

      await server.settled();
      await server.kill();
      await until(async () => (await broker.inspect()).state === "down");
      await server.start();

      await until(() => broker.isConnected);
      expect(idsOf(await take(subscription, 3)).toSorted()).toEqual(["m0", "m1", "m2"]);
      await until(async () => (await broker.publish([now({ id: "x", channel: "later" })]))[0]?.ok);
      expect(idsOf(await waiting)).toEqual(["x"]);
    });

    it("refuses a publish while there is no server, or stores it: it never hangs and never loses", async () => {
      const { server } = bench;
      const broker = await bench.opened({ url: server.url });
      const subscription = await broker.subscribe(spec);
      await server.settled();
      const stored = await publishThroughKill(broker, server);
      await takeAll(subscription, stored);
    });

    it("counts an attempt that the killed server has forgotten", async () => {
      const { server } = bench;
      const namespace = newPlace();
      const broker = await bench.opened({ url: server.url, namespace });
      const other = await bench.opened({ url: server.url, namespace, connectTimeoutMs: 4999 });
      const subscription = await broker.subscribe(spec);
      const beside = await other.subscribe(spec);
      await publish(broker, "m");
      const [first] = await take(subscription, 1);
      expect(first?.attempt).toBe(1);
      await server.settled();
      await server.kill();
      await server.start();

      const again = await Promise.race([beside.receive(1, 20_000), subscription.receive(1, 20_000)]);
      expect(again[0]).toMatchObject({ attempt: 2, envelope: { id: "m" } });
    });

    it("leaves one of a message that was being given back, and not before its time", async () => {
      const { proxy, url } = await wayTo(bench);
      const broker = await bench.opened({ url });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "m");
      const [delivery] = await take(subscription, 1);
      await proxy.down();
      const dueAt = Date.now() + 3000;
      const settling = subscription.settle([{ kind: "nack", delivery: delivery as Delivery, delayMs: 3000 }]);
      await expect(settling).rejects.toMatchObject({ code: "NOT_CONNECTED" });
      await proxy.up();

      const [again] = await take(subscription, 1);
      expect(again?.envelope.id).toBe("m");
      expect(Date.now()).toBeGreaterThanOrEqual(dueAt - 1);
      await ack(subscription, [again as Delivery]);
      expect(await subscription.receive(1, 1000)).toEqual([]);
    });

    it.each(["c", "c.#", "c.x.*"])(
      "that forgot who reads %s: a message waits for them all the same",
      async (pattern) => {
        const channel = pattern === "c" ? "c" : "c.x.y";
        const { namespace, reader, writer, ways, operator } = await twoWays(bench);
        await writer.admin.declare(channel);
        const subscription = await reader.subscribe({ ...spec, pattern });
        await until(async () => (await writer.publish([now({ id: "before", channel })]))[0]?.ok);
        await ack(subscription, await take(subscription, 1));

        await ways.down();
        await operator.deleteQueue(`${namespace}/g/${pattern}`);
        await operator.unbindQueue(`${namespace}/#${channel}`, namespace, channel);
        await ways.writers.up();
        await until(async () => (await writer.publish([now({ id: "after", channel })]))[0]?.ok);
        await ways.readers.up();

        expect(idsOf(await take(subscription, 1))).toEqual(["after"]);
        const retained = await writer.admin.browse(channel, { limit: 10 });
        expect(retained.map(({ envelope: { id } }) => id)).toEqual(["before", "after"]);
      },
    );

    it("keeps nothing for a group that was dropped since", async () => {
      const { namespace, reader, writer, ways, operator } = await twoWays(bench);
      await reader.subscribe({ ...spec, pattern: "c.#" });
      await until(async () => (await writer.publish([now({ channel: "c.x" })]))[0]?.ok);
      await ways.down();
      await ways.writers.up();
      await until(async () => (await writer.publish([now({ channel: "c.y" })]))[0]?.ok);
      await writer.admin.dropGroup?.("c.#", "g");

      expect(await writer.publish([now({ channel: "c.z" })])).toMatchObject([{ ok: true, matched: 0 }]);
      operator.on("error", () => {});
      await expect(operator.checkQueue(`${namespace}/g/c.#`)).rejects.toThrow("NOT_FOUND");
    });

    it("refuses a publish that waits for a queue when the broker is closed", async () => {
      const { namespace, reader, writer, ways, operator } = await twoWays(bench);
      await reader.subscribe(spec);
      await until(async () => (await writer.publish([now()]))[0]?.ok);
      await ways.down();
      await operator.deleteQueue(`${namespace}/g/c`);
      await operator.assertQueue(`${namespace}/g/c`, { durable: true });
      await ways.writers.up();
      await until(() => writer.isConnected);

      const waiting = writer.publish([now()]);
      await writer.close();
      expect(await waiting).toMatchObject([{ ok: false }]);
    });

    it("makes a queue again that somebody has deleted under its consumer", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "before");
      await ack(subscription, await take(subscription, 1));
      const waiting = subscription.receive(1, 20_000);
      const channel = await (await raw(bench, bench.server.url)).createChannel();
      await channel.deleteQueue(`${namespace}/g/c`);

      await until(async () => {
        const [result] = await broker.publish([now({ id: "after" })]);
        return result?.ok === true && result.matched !== 0;
      });
      expect(idsOf(await waiting)).toEqual(["after"]);
    });
  });

  describe("when members come and go", () => {
    it("counts nothing as an attempt that was on its way to a member that left", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const other = await bench.opened({ namespace, connectTimeoutMs: 4999 });
      const stays = await other.subscribe(spec);
      let sent = 0;
      const more = () => publish(other, ...Array.from({ length: 200 }, () => `m${sent++}`));
      const got: Delivery[] = [];
      for (let round = 0; round < 8; round++) {
        const leaves = await broker.subscribe({ ...spec, prefetch: 1000 });
        const coming = leaves.receive(50, 10_000);
        await more();
        const taken = await coming;
        got.push(...taken);
        await Promise.all([more(), ack(leaves, taken), leaves.close()]);
      }
      while (got.length < sent) {
        const taken = await stays.receive(100, 10_000);
        if (taken.length === 0) break;
        got.push(...taken);
        await ack(stays, taken);
      }
      expect(new Set(idsOf(got)).size).toBe(sent);
      expect(got.filter(({ attempt }) => attempt !== 1).map(({ envelope: { id } }) => id)).toEqual([]);
    });
  });

  describe("on a bad way to the server", () => {
    it("notices a link that is half open, and is back when another stands", async () => {
      await using proxy = await FaultProxy.before(bench.server);
      const { host, port } = proxy.address;
      const broker = await bench.opened({ url: `amqp://guest:guest@${host}:${port}` });
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
      const { server } = bench;
      const broker = await bench.opened({ url: server.url });
      await server.pause();
      const [held] = await broker.publish([now({ id: "held" })]);
      expect(held).toMatchObject({ ok: false, error: { code: "PUBLISH_UNKNOWN" } });
      await server.resume();
      await until(async () => (await broker.publish([now({ id: "after" })]))[0]?.ok);
    });

    it("pushes back on publishers that the server blocks", async () => {
      const server = await bench.own({ config: { "disk_free_limit.absolute": "1000TB" } });
      const broker = await bench.opened({ url: server.url });
      const [first] = await broker.publish([now({ id: "unknown" })]);
      expect(first).toMatchObject({ ok: false, error: { code: "PUBLISH_UNKNOWN" } });
      const [second] = await broker.publish([now({ id: "never" })]);
      expect(second).toMatchObject({ ok: false, error: { code: "OVERLOADED" } });
      expect((await broker.inspect()).state).toBe("degraded");
      expect(broker.isConnected).toBe(true);
    });

    it("lets publishers wait while the server blocks them, and go on when it does", async () => {
      const { server } = bench;
      const broker = await bench.opened({ url: server.url, commandTimeoutMs: 20_000 });
      const subscription = await broker.subscribe(spec);
      await publish(broker, "before");
      await server.evaluate('rabbit_disk_monitor:set_disk_free_limit("1000TB")');
      const first = publish(broker, "m0");
      await until(async () => (await broker.inspect()).state === "degraded");
      const second = publish(broker, "m1");

      // Consumers have a connection of their own, and it is not blocked.
      await ack(subscription, await take(subscription, 1));
      await server.evaluate('rabbit_disk_monitor:set_disk_free_limit("50MB")');
      await Promise.all([first, second]);
      expect(idsOf(await take(subscription, 2)).toSorted()).toEqual(["m0", "m1"]);
      expect((await broker.inspect()).state).toBe("up");
    });
  });

  describe("errors of opening", () => {
    it("names what is wrong with the way to the server", async () => {
      const { host, port } = bench.server.address;
      const [free] = await freePorts(1);
      const codeOf = (url: string) =>
        bench
          .made({ url })
          .open()
          .then(
            () => "opened",
            (error: { code: string }) => error.code,
          );
      expect(() => bench.made({ url: "http://localhost" })).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
      expect(await codeOf(`amqp://127.0.0.1:${free}`)).toBe("NOT_CONNECTED");
      expect(await codeOf(`amqp://guest:wrong@${host}:${port}`)).toBe("UNAUTHENTICATED");
      expect(await codeOf(`amqp://guest:guest@${host}:${port}/nowhere`)).toBe("FORBIDDEN");
      expect(await codeOf(`amqps://guest:guest@${host}:${port}`)).toBe("NOT_CONNECTED");
    });
  });

  describe("for programs without Herald", () => {
    it("is an exchange and a queue: they read and write messages with the client alone", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe({ ...spec, pattern: "orders.*" });
      const model = await raw(bench, bench.server.url);
      const channel = await model.createConfirmChannel();
      const { queue } = await channel.assertQueue("", { exclusive: true });
      await channel.bindQueue(queue, namespace, "orders.#");
      await broker.publish([
        now({ id: "m", channel: "orders.created", body: Buffer.from('{"n":1}'), headers: { h: "1" } }),
      ]);

      let read = await channel.get(queue);
      await until(async () => read !== false || (read = await channel.get(queue)) !== false);
      expect(read !== false && [read.content.toString(), read.properties.messageId]).toEqual([
        '{"n":1}',
        "m",
      ]);
      expect(read !== false && read.properties.headers).toMatchObject({ h: "1", cloudEvents_id: "m" });
      await ack(subscription, await take(subscription, 1));

      channel.publish(namespace, "orders.paid", Buffer.from("{}"), {
        messageId: "theirs",
        headers: { n: 7 },
      });
      await channel.waitForConfirms();
      const [theirs] = await take(subscription, 1);
      expect(theirs?.envelope).toMatchObject({
        id: "theirs",
        channel: "orders.paid",
        source: "external",
        headers: { n: "7" },
      });
    });

    it("says when nobody is bound for a message", async () => {
      const broker = await bench.opened();
      expect(await broker.publish([now({ channel: "nobody" })])).toMatchObject([{ ok: true, matched: 0 }]);
    });
  });
});

async function raw(bench: RabbitBench, url: string): Promise<ChannelModel> {
  const model = await connect(url);
  bench.after(() => model.close());
  return model;
}
