import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import type { Broker, PublishResult, Subscription } from "../../../core/broker.ts";
import type { Delivery } from "../../../core/delivery.ts";
import { FakeClock } from "../../fake-clock.ts";
import { randomInt } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import type { Bounds } from "../harness.ts";
import { Lateness } from "../lateness.ts";

function codeOf(result: PublishResult | undefined): string {
  return result === undefined ? "no result" : result.ok ? "ok" : result.error.code;
}

async function tooLarge(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const { maxBodyBytes } = context.capabilities;

  const [over] = await context.broker.publish([
    context.envelope(channel, { body: new Uint8Array(maxBodyBytes + 1) }),
  ]);
  assert.equal(codeOf(over), "MESSAGE_TOO_LARGE");
  await context.publish(context.envelope(channel, { body: new Uint8Array(maxBodyBytes) }));
  await context.publish(context.envelope(channel));

  const got = await context.drain(subscription, 2);
  assert.deepEqual(
    got.map(({ envelope }) => envelope.body.byteLength > 100),
    [true, false],
  );
  await context.nothing(subscription);
}

/** A broker that holds ten messages, with ten in it. */
async function full(context: CaseContext, bounds: Omit<Bounds, "maxMessages">) {
  const broker = await context.another({ maxMessages: 10, ...bounds });
  const channel = context.channel(bounds.overflow);
  const subscription = await broker.subscribe({ pattern: channel, group: bounds.overflow, prefetch: 100 });
  const results = await broker.publish(context.envelopes(channel, 10));
  assert.ok(results.every(({ ok }) => ok));
  const publish = async () => codeOf((await broker.publish([context.envelope(channel)]))[0]);
  return { broker, subscription, publish };
}

async function backpressure(context: CaseContext): Promise<void> {
  const rejecting = await full(context, { overflow: "reject" });
  assert.equal(await context.time.drive(rejecting.publish()), "OVERLOADED");
  await context.drain(rejecting.subscription, 1);
  assert.equal(await context.time.drive(rejecting.publish()), "ok");
  await context.drain(rejecting.subscription, 10);

  const blocking = await full(context, { overflow: "block", blockTimeoutMs: context.unitMs * 10 });
  let answer = "none";
  const waiting = blocking.publish().then((code) => (answer = code));
  await context.time.elapse(context.unitMs);
  assert.equal(answer, "none", "a publish into a full broker waits");
  await context.drain(blocking.subscription, 1);
  assert.equal(await context.time.drive(waiting), "ok");
  assert.equal(await context.time.drive(blocking.publish()), "OVERLOADED", "it does not wait for ever");
  await context.drain(blocking.subscription, 10);

  const dropping = await full(context, { overflow: "drop-oldest" });
  for (let n = 0; n < 5; n++) assert.equal(await context.time.drive(dropping.publish()), "ok");
  const { dropped } = await dropping.broker.inspect();
  assert.equal(dropped, 5, "what is dropped is counted");
  context.history.add({ type: "data-loss", count: dropped });
  const left = await context.drain(dropping.subscription, 10);
  const counters = left.map(({ envelope }) => Number(envelope.id.split("-").at(-1)));
  assert.deepEqual(
    counters,
    Array.from({ length: 10 }, (_none, at) => (counters[9] ?? 0) - 9 + at),
    "the oldest went",
  );
}

async function prefetchHolds(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const prefetch = 5;
  const subscription = await context.subscribe(channel, { prefetch });
  const total = context.count(500, 100);
  await context.publish(...context.envelopes(channel, total));
  const out: Delivery[] = [];
  let handled = 0;

  while (handled < total) {
    const taken = await context.poll(subscription, 1 + randomInt(context.random, 10), 0);
    out.push(...taken);
    assert.ok(out.length <= prefetch, `${out.length} deliveries are out, the prefetch is ${prefetch}`);
    const full = out.length === prefetch || handled + out.length === total;
    const settled = out.splice(0, full ? 1 + randomInt(context.random, prefetch) : 0);
    await context.ack(subscription, settled);
    handled += settled.length;
    if (!full && taken.length === 0) await context.time.elapse(1);
  }
}

async function receiveIsBounded(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const { clock, patienceMs } = context.time;
  using lateness = new Lateness(context.time);

  const before = clock.monotonic();
  assert.deepEqual(await context.receive(subscription, 10, context.unitMs), []);
  const waitedMs = clock.monotonic() - before;
  const most = context.unitMs + lateness.limit(250);
  assert.ok(waitedMs <= most, `receive waited ${waitedMs} ms of at most ${context.unitMs}`);
  assert.deepEqual(await context.receive(subscription, 10, 0), []);

  const woken = subscription.receive(10, patienceMs * 2);
  const published = clock.monotonic();
  await context.publish(...context.envelopes(channel, 8));
  const first = await context.time.drive(woken);
  assert.ok(clock.monotonic() - published < patienceMs, "a waiting receive wakes for what is published");
  assert.ok(first.length > 0);
  await context.ack(subscription, first);
  const rest = await context.drain(subscription, 8 - first.length, 3);
  assert.equal(rest.length + first.length, 8);
}

async function receiveLimit(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  await context.publish(...context.envelopes(channel, 20));

  for (let left = 20; left > 0;) {
    const taken = await context.receive(subscription, 3, context.time.patienceMs);
    assert.ok(taken.length >= 1 && taken.length <= 3, `asked for at most 3 and got ${taken.length}`);
    await context.ack(subscription, taken);
    left -= taken.length;
  }
}

/** Processor time in milliseconds, this process's own. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Publishes a backlog, drains it, and gives what draining a portion of it cost. */
async function drainCost(
  context: CaseContext,
  subscription: Subscription,
  channel: string,
  total: number,
): Promise<number> {
  const portion = 1000;
  for (let left = total; left > 0; left -= portion) {
    await context.publish(...context.envelopes(channel, Math.min(left, portion)));
  }
  const before = cpuMs();
  await context.drain(subscription, total, portion);
  return ((cpuMs() - before) / total) * portion;
}

async function backlog(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const total = context.count(100_000, 5000);
  // A backlog that is brought before it is asked for costs nothing to drain, however deep it is: the shallow one is deeper than that.
  const subscription = await context.subscribe(channel, { prefetch: context.count(1000, 250) });

  await drainCost(context, subscription, channel, total / 5);
  const shallowMs = await drainCost(context, subscription, channel, total / 5);
  const deepMs = await drainCost(context, subscription, channel, total);

  // A cost that grew with the depth would show as five; the history of the run, growing too, adds to both.
  assert.ok(
    deepMs <= Math.max(shallowMs, 1) * 4,
    `a portion costs ${deepMs} ms when deep, ${shallowMs} ms when shallow`,
  );
}

function descriptors(): number {
  return existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
}

async function tenThousand(context: CaseContext): Promise<void> {
  const count = context.count(10_000, 500);
  const base = context.channel();
  const open = descriptors();
  const subscriptions: Subscription[] = [];
  for (let n = 0; n < count; n++)
    subscriptions.push(await context.subscribe(`${base}.n${n}`, { prefetch: 1 }));
  const waiting = subscriptions.map((subscription) => subscription.receive(1, 3_600_000));

  const { clock } = context.time;
  if (clock instanceof FakeClock)
    assert.ok(clock.pending <= 10, `${count} waiting receives hold ${clock.pending} timers`);
  assert.ok(descriptors() - open <= 16, `${count} subscriptions opened ${descriptors() - open} descriptors`);
  using lateness = new Lateness(context.time);
  const tookMs = await publishToEach(context, base, count);
  const p99 = tookMs.toSorted((a, b) => a - b)[Math.ceil(count * 0.99) - 1] ?? 0;
  assert.ok(p99 <= lateness.limit(50), `p99 of a publish among ${count} subscriptions is ${p99} ms`);
  for (const [at, deliveries] of (await context.time.drive(Promise.all(waiting))).entries()) {
    assert.equal(deliveries[0]?.envelope.channel, `${base}.n${at}`);
    await subscriptions[at]?.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
  }
  await Promise.all(subscriptions.map((subscription) => subscription.close()));
}

async function publishToEach(context: CaseContext, base: string, count: number): Promise<number[]> {
  const tookMs: number[] = [];
  const broker: Broker = context.broker;
  for (let n = 0; n < count; n++) {
    const envelope = context.envelope(`${base}.n${n}`);
    const before = performance.now();
    const [result] = await broker.publish([envelope]);
    tookMs.push(performance.now() - before);
    assert.equal(codeOf(result), "ok");
  }
  return tookMs;
}

/** Limits and back-pressure. */
export const limitCases: readonly ConformanceCase[] = [
  {
    id: "g01-too-large",
    group: "G",
    title: "a byte too many is refused by name, the largest body passes, and the next message too",
    stepped: true,
    check: { keyless: true },
    acked: 2,
    run: tooLarge,
  },
  {
    id: "g02-backpressure",
    group: "G",
    title: "a full broker blocks, rejects or drops the oldest as its policy says, and counts what it drops",
    needs: ["bounded"],
    stepped: true,
    check: { durable: false },
    acked: 37,
    run: backpressure,
  },
  {
    id: "g03-backlog-1m",
    group: "G",
    title:
      "a backlog of a hundred thousand is drained without a loss, at a cost that does not grow with its depth",
    longLeases: true,
    acked: 140_000,
    run: backlog,
  },
  {
    id: "g04-subs-10k",
    group: "G",
    title: "ten thousand subscriptions cost no timers, no descriptors, and no publisher more than 50 ms",
    stepped: true,
    longLeases: true,
    acked: 10_000,
    run: tenThousand,
  },
  {
    id: "g-prefetch",
    group: "G",
    title: "never more deliveries are out than the prefetch allows",
    acked: 500,
    run: prefetchHolds,
  },
  {
    id: "g-receive-returns",
    group: "G",
    title: "a receive returns within its wait, and at once when something comes",
    stepped: true,
    acked: 8,
    run: receiveIsBounded,
  },
  {
    id: "g-receive-limit",
    group: "G",
    title: "a receive gives at most what it was asked for",
    stepped: true,
    acked: 20,
    run: receiveLimit,
  },
];
