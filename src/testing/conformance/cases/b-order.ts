import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { Subscription } from "../../../core/broker.ts";
import type { Delivery } from "../../../core/delivery.ts";
import { shuffled } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { inTime } from "./in-time.ts";

async function single(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel, { prefetch: 100 });
  const sent = context.envelopes(channel, context.count(10_000, 500));

  await context.publish(...sent);

  const got = await context.drain(subscription, sent.length);
  const firstWrong = got.findIndex(({ envelope }, at) => envelope.id !== sent[at]?.id);
  assert.equal(firstWrong, -1, "one consumer must get messages exactly as they were published");
}

/** Consumes with several members until `total` are acknowledged; a member holds what it has for one turn of the event loop. */
async function consumeAll(
  context: CaseContext,
  subscriptions: readonly Subscription[],
  total: number,
): Promise<void> {
  const running = new Set<string>();
  let handled = 0;
  const consume = async (subscription: Subscription) => {
    while (handled < total) {
      const deliveries = await context.poll(subscription, 8);
      enter(running, deliveries);
      await turn();
      for (const { envelope } of deliveries) running.delete(envelope.key ?? "");
      await context.ack(subscription, deliveries);
      handled += deliveries.length;
    }
  };
  await Promise.all(subscriptions.map(consume));
  assert.equal(handled, total);
}

function enter(running: Set<string>, deliveries: readonly Delivery[]): void {
  for (const { envelope } of deliveries) {
    const key = envelope.key ?? assert.fail("a key is missing");
    assert.ok(!running.has(key), `two messages of the key ${key} must never be out at the same time`);
    running.add(key);
  }
}

async function perKey(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscriptions: Subscription[] = [];
  for (let n = 0; n < 10; n++) subscriptions.push(await context.subscribe(channel, { prefetch: 20 }));
  const keys = 100;
  const total = keys * context.count(100, 10);

  // Messages of one key come in threes, so that consumers meet over them.
  await context.publish(
    ...context.envelopes(channel, total, (at) => ({ key: `k${Math.floor(at / 3) % keys}` })),
  );

  await consumeAll(context, subscriptions, total);
}

async function keysInParallel(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel, { prefetch: 10 });
  await context.publish(...context.envelopes(channel, 40, (at) => ({ key: `k${at % 4}` })));
  const [blocked] = await context.take(subscription, 1);
  const key = blocked?.envelope.key;

  const others = await context.drain(subscription, 30, 3);

  assert.ok(
    others.every(({ envelope }) => envelope.key !== key),
    "only the key that is out is held back",
  );
  await context.nothing(subscription);
  await context.ack(subscription, blocked === undefined ? [] : [blocked]);
  await context.drain(subscription, 9);
}

/**
 * The first message of key `a` fails once and waits; a second one, and one of key `b`, stand behind it. The order in which they come,
 * once those that are not held up came while it still waited.
 */
async function failingFirst(
  context: CaseContext,
  ordering: "strict" | "relaxed",
  free: readonly string[],
): Promise<string[]> {
  const { clock } = context.time;
  let order: string[] = [];
  await inTime(context, async (unitMs) => {
    const channel = context.channel(`unit${unitMs}`);
    const subscription = await context.subscribe(channel, { prefetch: 10, ordering });
    const [a1, a2, b1] = ["a", "a", "b"].map((key) => context.envelope(channel, { key }));
    const names = new Map([
      [a1!.id, "a1"],
      [a2!.id, "a2"],
      [b1!.id, "b1"],
    ]);
    await context.publish(a1!, a2!);
    const [first] = await context.take(subscription, 1);
    await context.publish(b1!);
    const endsAt = clock.monotonic() + unitMs;
    await context.time.drive(subscription.settle([{ kind: "nack", delivery: first!, delayMs: unitMs }]));

    const came = [first!];
    const soon = new Set<string>();
    while (came.length < 4) {
      const [next] = await context.take(subscription, 1);
      if (clock.monotonic() < endsAt) soon.add(names.get(next!.envelope.id)!);
      await context.ack(subscription, [next!]);
      came.push(next!);
    }
    order = came.map(({ envelope, attempt }) => `${names.get(envelope.id)}#${attempt}`);
    return free.every((name) => soon.has(name));
  });
  return order;
}

async function strictRetry(context: CaseContext): Promise<void> {
  const order = await failingFirst(context, "strict", ["b1"]);

  assert.deepEqual(order, ["a1#1", "b1#1", "a1#2", "a2#1"]);
}

async function relaxedRetry(context: CaseContext): Promise<void> {
  const order = await failingFirst(context, "relaxed", ["a2", "b1"]);

  assert.equal(order[0], "a1#1");
  assert.deepEqual(order.toSorted(), ["a1#1", "a1#2", "a2#1", "b1#1"]);
  assert.equal(order[3], "a1#2", "a retry that waits is overtaken");
}

/** How many rounds a cold message waits when four consumers take one message each a round. */
async function coldWaits(context: CaseContext, hot: number, cold: number): Promise<number> {
  const channel = context.channel(`hot${hot}`);
  const subscriptions: Subscription[] = [];
  for (let n = 0; n < 4; n++) subscriptions.push(await context.subscribe(channel, { prefetch: 1 }));
  const keys = [
    ...Array.from({ length: hot }, () => "hot"),
    ...Array.from({ length: cold }, (_none, at) => `cold${at}`),
  ];
  await context.publish(...shuffled(context.random, keys).map((key) => context.envelope(channel, { key })));

  const waits: number[] = [];
  for (let round = 1, left = hot + cold; left > 0; round++) {
    const taken: (readonly Delivery[])[] = [];
    for (const subscription of subscriptions)
      taken.push(await context.poll(subscription, 1, taken.some(({ length }) => length > 0) ? 0 : 100));
    for (const [at, subscription] of subscriptions.entries())
      await context.ack(subscription, taken[at] ?? []);
    for (const { envelope } of taken.flat()) if (envelope.key !== "hot") waits.push(round);
    left -= taken.flat().length;
  }
  return waits.toSorted((a, b) => a - b)[Math.ceil(waits.length * 0.99) - 1] ?? 0;
}

async function fair(context: CaseContext): Promise<void> {
  const cold = context.count(100, 20);

  const idle = await coldWaits(context, 0, cold);
  const loaded = await coldWaits(context, cold * 9, cold);

  assert.ok(loaded <= idle * 10, `a cold message waits ${loaded} rounds beside a hot key, ${idle} without`);
}

/** Order of messages. */
export const orderCases: readonly ConformanceCase[] = [
  {
    id: "b03-order-single",
    group: "B",
    title: "one consumer gets ten thousand messages exactly as they were published",
    needs: ["keyOrder"],
    check: { keyless: true },
    acked: 10_000,
    run: single,
  },
  {
    id: "b04-order-per-key",
    group: "B",
    title: "ten consumers keep the order of each of a hundred keys, and never hold two messages of one key",
    needs: ["keyOrder"],
    check: { order: "strict" },
    longLeases: true,
    acked: 10_000,
    run: perKey,
  },
  {
    id: "b-keys-in-parallel",
    group: "B",
    title: "a key that is being handled holds back nothing but itself",
    needs: ["keyOrder"],
    stepped: true,
    check: { order: "strict" },
    acked: 40,
    run: keysInParallel,
  },
  {
    id: "b05-order-under-retry",
    group: "B",
    title: "under strict order a message that waits for its retry holds back its key and nothing else",
    needs: ["keyOrder", "nackDelay"],
    stepped: true,
    check: { order: "strict" },
    acked: 3,
    run: strictRetry,
  },
  {
    id: "b-relaxed-retry",
    group: "B",
    title: "under relaxed order a message that waits for its retry is overtaken by its key",
    needs: ["keyOrder", "nackDelay"],
    stepped: true,
    acked: 3,
    run: relaxedRetry,
  },
  {
    id: "b06-fair",
    group: "B",
    title: "a hot key with nine tenths of the traffic does not hold up the others",
    needs: ["keyOrder"],
    longLeases: true,
    acked: 1100,
    run: fair,
  },
];
