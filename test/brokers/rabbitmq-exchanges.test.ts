import { subscribe as listen, unsubscribe as unlisten } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Channel } from "amqplib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RabbitMQBroker, type ExchangeMessage } from "../../src/brokers/rabbitmq/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { envelope } from "../support/envelopes.ts";
import { RabbitBench } from "../support/rabbitmq.ts";
import { ack, take, until } from "../support/taking.ts";
import { run } from "../support/run.ts";
import { onPath } from "../support/servers/found.ts";
import { whenFound, whenStarted } from "../support/servers/when.ts";

whenStarted("rabbitmq", "exchanges and queues of RabbitMQ by their own names", () => {
  const bench = new RabbitBench();
  beforeAll(() => bench.start({ management: true }));
  afterAll(() => bench.stop());
  afterEach(() => bench.cleanUp());

  /** Connected to the server, or to what stands before it; its exchanges and queues go with the server. */
  const connected = async (url = bench.server.url): Promise<RabbitMQBroker> => {
    const rabbit = new RabbitMQBroker({ url, commandTimeoutMs: 1500, maxReconnectMs: 200 });
    bench.after(() => rabbit.disconnect());
    await rabbit.connect();
    return rabbit;
  };
  const proxied = async () => {
    const proxy = await FaultProxy.before(bench.server);
    bench.after(() => proxy[Symbol.asyncDispose]());
    const { host, port } = proxy.address;
    return { proxy, rabbit: await connected(`amqp://guest:guest@${host}:${port}`) };
  };
  const cutOff = async (rabbit: RabbitMQBroker, proxy: FaultProxy) => {
    proxy.reset();
    await until(() => !rabbit.isConnected());
    await until(() => rabbit.isConnected());
  };

  it("are asserted, bound, published to and consumed", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await rabbit.assertExchange(name, "direct", { durable: true });
    await rabbit.assertQueue(name, { durable: true, arguments: { "x-queue-type": "quorum" } });
    await rabbit.bind(name, name, "paid");
    const seen: ExchangeMessage[] = [];
    const consumer = await rabbit.consume(name, (message) => void seen.push(message));

    const message: ExchangeMessage = {
      id: "m1",
      topic: "paid",
      payload: { n: 1 },
      metadata: { correlationId: "c", replyTo: "r", priority: 3, headers: { h: "x" } },
      timestamp: 1_700_000_000_123,
    };
    await rabbit.publish(name, "paid", message);
    await rabbit.publish(name, "other", { payload: "nobody is bound for it" });
    await until(() => seen.length === 1);
    expect(seen).toEqual([message]);

    await consumer.close();
    await rabbit.publish(name, "paid", { payload: 2 });
    const channel = (await rabbit.createChannel()) as Channel;
    expect(await channel.checkQueue(name)).toMatchObject({ consumerCount: 0, messageCount: 1 });
    await rabbit.unbind(name, name, "paid");
    await rabbit.publish(name, "paid", { payload: 3 });
    expect(await channel.checkQueue(name)).toMatchObject({ messageCount: 1 });
    await rabbit.closeChannel(channel);
    await rabbit.closeChannel(channel);
    await expect(channel.checkQueue(name)).rejects.toThrow(/closed/);
    await rabbit.deleteQueue(name);
    await rabbit.deleteExchange(name);
    await expect(rabbit.consume(name, () => undefined)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("publish with two arguments to whoever subscribed to the topic, or to a pattern", async () => {
    const rabbit = await connected();
    const place = newPlace();
    const heard: unknown[] = [];
    const exact = await rabbit.subscribe(
      `${place}.a`,
      ({ topic, payload }) => void heard.push([topic, payload]),
    );
    const wide = await rabbit.subscribe(`${place}.#`, ({ payload }) => void heard.push(payload));

    await rabbit.publish(`${place}.a`, { payload: 1 });
    await until(() => heard.length === 2);
    expect(heard).toEqual(expect.arrayContaining([[`${place}.a`, 1], 1]));
    await exact.close();
    await rabbit.publish(`${place}.a`, { payload: 2 });
    await until(() => heard.length === 3);
    expect(heard.at(-1)).toBe(2);
    await wide.close();
  });

  it("are exchanges of topics and queues in the words of the interface too", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await rabbit.createExchange(name);
    await rabbit.createQueue(name, { durable: true });
    await rabbit.bind(name, name, "orders.*");
    const seen: unknown[] = [];
    await rabbit.consume(name, ({ payload }) => void seen.push(payload));
    await rabbit.publish(name, "orders.created", { payload: { n: 1 } });
    await until(() => seen.length === 1);
    expect(seen).toEqual([{ n: 1 }]);
  });

  it("try a message that fails a second time, then it goes to the dead-letter exchange", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await rabbit.assertExchange(`${name}-dead`, "fanout");
    await rabbit.assertQueue(`${name}-dead`);
    await rabbit.bind(`${name}-dead`, `${name}-dead`, "");
    await rabbit.assertQueue(name, { arguments: { "x-dead-letter-exchange": `${name}-dead` } });
    let tries = 0;
    await rabbit.consume(name, () => {
      tries++;
      throw new Error("not this one");
    });
    const dead: ExchangeMessage[] = [];
    await rabbit.consume(`${name}-dead`, (message) => void dead.push(message));

    await rabbit.publish("", name, { id: "bad", payload: 1 });
    await until(() => dead.length === 1);
    expect([tries, dead[0]?.id]).toEqual([2, "bad"]);
    expect(dead[0]?.metadata.headers?.["x-death"]).toContain('"reason":"rejected"');
  });

  it("hand out what has priority first, where the queue knows it", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await rabbit.assertQueue(name, { arguments: { "x-max-priority": 5 } });
    for (const [payload, priority] of Object.entries([1, 5, 3]))
      await rabbit.publish("", name, { payload, metadata: { priority } });
    const seen: unknown[] = [];
    await rabbit.consume(name, ({ payload }) => void seen.push(payload));
    await until(() => seen.length === 3);
    expect(seen).toEqual(["1", "2", "0"]);
  });

  it("stand again after the connection was lost, consumers too", async () => {
    const { proxy, rabbit } = await proxied();
    const name = newPlace();
    await rabbit.assertExchange(name, "topic");
    // It goes with its connection, and nothing of it is left for the one after.
    await rabbit.assertQueue(name, { durable: false, exclusive: true });
    await rabbit.bind(name, name, "orders.#");
    const seen: unknown[] = [];
    await rabbit.consume(name, ({ payload }) => void seen.push(payload));

    await cutOff(rabbit, proxy);
    // A topic exchange takes what no queue is bound for, and forgets it.
    await until(async () => {
      await rabbit.publish(name, "orders.paid", { payload: 1 });
      return seen.length > 0;
    });
    expect(seen[0]).toBe(1);
  });

  it("have no consumer that only looks alive: its queue is made again when somebody deletes it", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await rabbit.assertQueue(name);
    const seen: unknown[] = [];
    await rabbit.consume(name, ({ payload }) => void seen.push(payload));
    const channel = (await rabbit.createChannel()) as Channel;
    await channel.deleteQueue(name);

    await until(async () => {
      await rabbit.publish("", name, { payload: 1 });
      return seen.length > 0;
    });
    await rabbit.closeChannel(channel);
  });

  it("go on where one of them cannot be made again, which is told", async () => {
    const { proxy, rabbit } = await proxied();
    const [lost, kept] = [newPlace(), newPlace()];
    const theirs = (await rabbit.createChannel()) as Channel;
    await theirs.assertQueue(lost, { exclusive: true });
    await rabbit.consume(lost, () => undefined);
    await rabbit.assertQueue(kept);
    const seen: unknown[] = [];
    await rabbit.consume(kept, ({ payload }) => void seen.push(payload));
    const faults: unknown[] = [];
    const hear = (event: unknown): void => void faults.push(event);
    listen("herald:fault", hear);
    bench.after(() => unlisten("herald:fault", hear));

    await cutOff(rabbit, proxy);
    await rabbit.publish("", kept, { payload: 1 });
    await until(() => seen.length === 1);
    await until(() => faults.length > 0);
    expect(faults[0]).toMatchObject({ where: `rabbitmq consume ${lost}`, error: { code: "NOT_FOUND" } });
  });

  it("refuse a publish to an exchange that is not there by name, and go on", async () => {
    const rabbit = await connected();
    const name = newPlace();
    await expect(rabbit.publish(name, "k", { payload: 1 })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await rabbit.assertExchange(name, "topic");
    await until(() =>
      rabbit.publish(name, "k", { payload: 1 }).then(
        () => true,
        () => false,
      ),
    );
    await expect(rabbit.assertExchange(name, "fanout")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("hang no publish on a link that is half open, and say that its outcome is unknown", async () => {
    const { proxy, rabbit } = await proxied();
    proxy.set({ frozen: "both" });
    await expect(rabbit.publish("amq.topic", "k", { payload: 1 })).rejects.toMatchObject({
      code: "PUBLISH_UNKNOWN",
    });
    proxy.reset();
    proxy.set({});
    await until(() => rabbit.isConnected());
  });

  it("are nothing before connect() and after disconnect()", async () => {
    const rabbit = new RabbitMQBroker({ url: bench.server.url });
    const closed = { code: "CLOSED" };
    await expect(rabbit.publish("t", { payload: 1 })).rejects.toMatchObject(closed);
    await Promise.all([rabbit.connect(), rabbit.connect()]);
    expect(rabbit.isConnected()).toBe(true);
    await rabbit.disconnect();
    await rabbit.disconnect();
    expect(rabbit.isConnected()).toBe(false);
    await expect(rabbit.createChannel()).rejects.toMatchObject(closed);
    await expect(rabbit.consume("q", () => undefined)).rejects.toMatchObject(closed);
  });

  const noPython = onPath("python3") === undefined ? "there is no python3 on the PATH" : undefined;
  whenFound("rabbitmqadmin", noPython, () =>
    describe("beside rabbitmqadmin", () => {
      it("messages are read and written with it", async () => {
        const namespace = newPlace();
        const broker = await bench.opened({ namespace });
        const subscription = await broker.subscribe({ pattern: "orders.*", group: "g", prefetch: 10 });
        const admin = await rabbitmqadmin(bench);
        await admin("declare", "queue", "name=spy");
        await admin("declare", "binding", `source=${namespace}`, "destination=spy", "routing_key=orders.#");
        const body = Buffer.from('{"n":1}');
        await broker.publish([
          envelope({ id: "ours", channel: "orders.created", body, headers: { h: "1" } }),
        ]);
        await ack(subscription, await take(subscription, 1));

        const [read] = JSON.parse(await admin("get", "queue=spy", "ackmode=ack_requeue_false")) as Spied[];
        expect(read).toMatchObject({
          payload: '{"n":1}',
          routing_key: "orders.created",
          properties: { message_id: "ours", headers: { h: "1", cloudEvents_source: "test" } },
        });

        const written = ["routing_key=orders.paid", 'payload={"n":2}', 'properties={"message_id":"theirs"}'];
        await admin("publish", `exchange=${namespace}`, ...written);
        const [theirs] = await take(subscription, 1);
        expect(theirs?.envelope).toMatchObject({ id: "theirs", channel: "orders.paid", source: "external" });
        expect(Buffer.from(theirs?.envelope.body ?? []).toString()).toBe('{"n":2}');
        const queues = JSON.parse(await admin("list", "queues", "name", "type")) as unknown[];
        expect(queues).toContainEqual({ name: `${namespace}/g/orders.*`, type: "quorum" });
      });
    }),
  );
});

interface Spied {
  readonly payload: string;
}

/** The program as the server itself hands it out; what it prints is JSON. */
async function rabbitmqadmin(bench: RabbitBench): Promise<(...args: readonly string[]) => Promise<string>> {
  const { managementUrl = "" } = bench.server;
  const file = path.join(tmpdir(), `rabbitmqadmin-${process.pid}.py`);
  let script: Response | undefined;
  await until(
    async () => (script = await fetch(`${managementUrl}/cli/rabbitmqadmin`).catch(() => undefined))?.ok,
  );
  writeFileSync(file, (await script?.text()) ?? "");
  const { hostname, port } = new URL(managementUrl);
  return async (...args) => {
    const all = [file, "-H", hostname, "-P", port, "-f", "raw_json", ...args];
    const { code, stdout, stderr } = await run("python3", all, { cwd: tmpdir() });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  };
}
