import { createRequire } from "node:module";
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import type { Queue } from "bullmq";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Delivery } from "../../src/core/delivery.ts";
import { MessagingService } from "../../src/service/service.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { BullMQBench } from "../support/bullmq.ts";
import { ack, take } from "../support/taking.ts";
import { envelope } from "../support/envelopes.ts";
import { whenRedis } from "../support/servers/when.ts";

const text = ({ envelope: { body } }: Delivery): string => new TextDecoder().decode(body);

whenRedis("the jobs of a BullMQ broker", () => {
  const bench = new BullMQBench();
  beforeAll(() => bench.start());
  afterEach(() => bench.cleanUp());
  afterAll(() => bench.stop());

  it("handles priorities 80, 10, 50, 5, 90 as 5, 10, 50, 80, 90", async () => {
    const broker = await bench.opened();
    const subscription = await broker.subscribe({ pattern: "work", group: "g", prefetch: 10 });
    for (const priority of [80, 10, 50, 5, 90])
      await broker.publish([envelope({ id: `p-${priority}`, channel: "work", priority })]);

    const got = await take(subscription, 5);
    expect(got.map((delivery) => delivery.envelope.priority)).toEqual([5, 10, 50, 80, 90]);
  });

  it("shows its queues and jobs to Bull Board: state, priority, attributes, payload, attempts and why they failed", async () => {
    const prefix = newPlace();
    const broker = await bench.opened({ prefix });
    const subscription = await broker.subscribe({
      pattern: "orders.created",
      group: "billing",
      prefetch: 1,
    });
    await broker.admin.declare("dlq.billing", { retentionMs: 60_000 });
    const body = new TextEncoder().encode('{"total":12}');
    await broker.publish([
      envelope({ id: "o-1", channel: "orders.created", body, priority: 10, headers: { tenant: "a" } }),
      envelope({ id: "o-2", channel: "orders.created", body }),
      envelope({ id: "d-1", channel: "dlq.billing", body }),
    ]);
    const [first] = await take(subscription, 1);
    const failure = { attempt: 1, code: "HANDLER_FAILED", message: "no stock", at: 5 };
    await subscription.settle([{ kind: "nack", delivery: first!, delayMs: 60_000, failure }]);

    const names = await broker.queueNames();
    expect(names.toSorted()).toEqual(["dlq.billing", "orders.created~billing"]);
    const board = boardOf(names.map((name) => bench.plainQueue(name, prefix)));
    const shown = await board.jobs("orders.created~billing");
    expect(shown.counts).toMatchObject({ prioritized: 1, delayed: 1 });
    expect(shown.jobs.find(({ id }) => id === "o-1")).toMatchObject({
      name: "orders.created",
      attempts: 1,
      priority: 11,
      failedReason: "HANDLER_FAILED: no stock",
      data: {
        specversion: "1.0",
        id: "o-1",
        channel: "orders.created",
        headers: { tenant: "a" },
        data: { total: 12 },
      },
    });
    expect((await board.jobs("dlq.billing")).jobs).toMatchObject([
      { id: "d-1", data: { data: { total: 12 } } },
    ]);
  });

  it("handles a job that any BullMQ program added, under one id however often it is handed out", async () => {
    const prefix = newPlace();
    const broker = await bench.opened({ prefix, pollMs: 20 });
    const subscription = await broker.subscribe({ pattern: "orders.*", group: "g", prefetch: 10 });
    const queue = bench.plainQueue("orders.*~g", prefix);
    await queue.add("orders.paid", { total: 5 });
    await queue.add("not a channel", [1]);

    const got = await take(subscription, 2);
    expect(got.map((delivery) => [delivery.envelope.channel, text(delivery)])).toEqual([
      ["orders.paid", '{"total":5}'],
      ["orders", "[1]"],
    ]);
    await subscription.settle(got.map((delivery) => ({ kind: "nack", delivery, delayMs: 0 })));
    const again = await take(subscription, 2);
    expect(again.map((delivery) => delivery.envelope.id)).toEqual(
      got.map((delivery) => delivery.envelope.id),
    );
    expect(again[0]?.envelope).toMatchObject({ id: "orders.*~g/1", source: "external" });
    await ack(subscription, again);
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 0, active: 0, failed: 0, completed: 0 });
  });

  it("carries every message id as a job id of its own, also those that BullMQ forbids", async () => {
    const prefix = newPlace();
    const broker = await bench.opened({ prefix });
    const subscription = await broker.subscribe({ pattern: "ids", group: "g", prefetch: 100 });
    const ids = [
      "1",
      "%_1",
      "%_%31;",
      "0",
      "a:b",
      "a%3a;b",
      "%",
      "%25;",
      "meta",
      "wait",
      "id",
      "{x}",
      "x",
      "dé:1",
      "0:1",
    ];
    await broker.publish(ids.map((id) => envelope({ id, channel: "ids" })));

    const jobs = await bench.plainQueue("ids~g", prefix).getJobs(["prioritized"]);
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(ids.length);
    expect(jobs.map(({ id }) => id)).toContain("x");
    const got = await take(subscription, ids.length);
    expect(got.map((delivery) => delivery.envelope.id)).toEqual(ids);
    await ack(subscription, got);
    expect(await broker.publish(ids.map((id) => envelope({ id, channel: "ids" })))).toHaveLength(ids.length);
    await ack(subscription, await take(subscription, ids.length));
  });

  it("keeps groups apart whose patterns and names would run together", async () => {
    const broker = await bench.opened();
    const one = await broker.subscribe({ pattern: "a:b", group: "c", prefetch: 10 });
    const two = await broker.subscribe({ pattern: "a", group: "b:c", prefetch: 10 });
    const three = await broker.subscribe({ pattern: "a", group: "~x", prefetch: 10 });
    await broker.publish([envelope({ id: "m", channel: "a:b" })]);

    expect(await two.receive(1, 50)).toEqual([]);
    expect(await three.receive(1, 0)).toEqual([]);
    expect(await take(one, 1)).toHaveLength(1);
  });

  it("returns every byte of a body, whether it reads as JSON or not", async () => {
    const broker = await bench.opened();
    const subscription = await broker.subscribe({ pattern: "bytes", group: "g", prefetch: 100 });
    const bodies = [
      '{ "a": 1.0 }',
      '{"b":1,"a":2}',
      '{"1":1,"a":{"__proto__":{"x":1}}}',
      "nonsense",
      "\ufeff{}",
      "",
    ].map((body) => new TextEncoder().encode(body));
    bodies.push(Uint8Array.from({ length: 256 }, (_none, at) => at));
    await broker.publish(bodies.map((body, at) => envelope({ id: `b-${at}`, channel: "bytes", body })));

    const got = await take(subscription, bodies.length);
    expect(got.map(({ envelope: { body } }) => [...body])).toEqual(bodies.map((body) => [...body]));
  });

  it("dead-letters a message whose consumers die with it, instead of leaving it a failed job", async () => {
    const prefix = newPlace();
    const options = { prefix, leaseMs: 300, stalledCheckMs: 50 };
    const broker = await bench.opened(options);
    const doomed = await broker.subscribe({ pattern: "poison", group: "worker", prefetch: 10 });
    await broker.publish([envelope({ id: "killer", channel: "poison" })]);
    // Nobody settles: as a process that dies does not.
    for (const attempt of [1, 2, 3]) expect((await take(doomed, 1))[0]?.attempt).toBe(attempt);
    await doomed.close();

    const other = bench.made(options);
    const service = new MessagingService({ broker: other, agentId: "worker", retry: { maxAttempts: 3 } });
    bench.after(() => service.stop());
    await service.start();
    let handled = 0;
    await service.subscribe("poison", () => void handled++);
    await expect.poll(() => service.deadLetters.list()).toMatchObject([{ id: "killer" }]);
    expect(handled).toBe(0);
    expect(await bench.plainQueue("poison~worker", prefix).getJobCounts()).toMatchObject({
      failed: 0,
      active: 0,
    });
  });

  it("keeps as many handled jobs as it is told, and publishes an id again all the same", async () => {
    const prefix = newPlace();
    const broker = await bench.opened({ prefix, keepCompleted: 2 });
    const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
    for (const id of ["a", "b", "c", "c"]) {
      await broker.publish([envelope({ id, channel: "c" })]);
      await ack(subscription, await take(subscription, 1));
    }
    expect(await bench.plainQueue("c~g", prefix).getJobCounts("completed")).toEqual({ completed: 2 });
  });
});

interface Shown {
  readonly name: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly jobs: readonly { readonly id: string; readonly data: unknown }[];
}

/** Bull Board without a web server: its own API handlers, asked directly. */
function boardOf(queues: readonly Queue[]) {
  const routes: {
    readonly route: string | readonly string[];
    readonly handler: (request: object) => unknown;
  }[] = [];
  let known: unknown;
  const adapter: Record<string, (value: never) => unknown> = new Proxy(
    {},
    {
      get: (_none, method) => (value: unknown) => {
        if (method === "setApiRoutes") routes.push(...(value as typeof routes));
        if (method === "setQueues") known = value;
        return adapter;
      },
    },
  );
  const uiBasePath = createRequire(import.meta.url).resolve("@bull-board/api/bullMQAdapter");
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: adapter as never,
    options: { uiBasePath, uiConfig: {} },
  });
  const list = routes.find(({ route }) => route === "/api/queues");
  return {
    async jobs(queue: string): Promise<Shown> {
      const query = { activeQueue: encodeURIComponent(queue), jobsPerPage: "50", page: "1" };
      const answer = (await list?.handler({ queues: known, query })) as {
        body: { queues: readonly Shown[] };
      };
      const shown = answer.body.queues.find(({ name }) => name === queue);
      if (shown === undefined) throw new Error(`Bull Board shows no queue '${queue}'.`);
      return shown;
    },
  };
}
