import assert from "node:assert/strict";
import { FakeClock } from "../../fake-clock.ts";
import { shuffled } from "../../random.ts";
import type { Subscription } from "../../../core/broker.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";
import { inTime } from "./in-time.ts";

async function priorityOrder(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const levels = shuffled(
    context.random,
    Array.from({ length: 400 }, (_none, at) => at % 100),
  );
  const sent = levels.map((priority) => context.envelope(channel, { priority }));
  await context.publish(...sent);

  const got = await context.drain(subscription, sent.length, 7);

  // A stable sort: by level, and by age within one level.
  const expected = sent
    .toSorted((a, b) => a.priority - b.priority)
    .map(({ id, priority }) => `${priority} ${id}`);
  assert.deepEqual(
    got.map(({ envelope }) => `${envelope.priority} ${envelope.id}`),
    expected,
  );
}

async function overtaking(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const prefetch = 10;
  const subscription = await context.subscribe(channel, { prefetch });
  const low = context.count(1000, 100);
  await context.publish(...context.envelopes(channel, low, () => ({ priority: 80 })));
  const held = await context.take(subscription, prefetch);

  await context.publish(...context.envelopes(channel, 10, () => ({ priority: 10 })));
  await context.ack(subscription, held);

  const next = await context.drain(subscription, 10);
  assert.ok(
    next.every(({ envelope }) => envelope.priority === 10),
    "every high message comes before the low one after those that were out",
  );
  await context.drain(subscription, low - prefetch);
}

async function noStarvation(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel, { prefetch: 2 });
  const low = context.count(100, 20);
  await context.publish(...context.envelopes(channel, low, () => ({ priority: 99 })));
  let left = low;

  // Two slots a round and one urgent message a round: the other slot is free.
  for (let round = 0; round < low && left > 0; round++) {
    await context.publish(context.envelope(channel, { priority: 0 }));
    const taken = await context.drain(subscription, 2, 2);
    left -= taken.filter(({ envelope }) => envelope.priority === 99).length;
    assert.equal(taken[0]?.envelope.priority, 0, "the urgent message goes first");
  }

  assert.equal(left, 0, `${left} messages of low priority got none of the free slots`);
}

/** A machine that does other things beside it may keep a server waiting for longer than this process: one of so many goes is in time. */
const GOES = 3;

async function delays(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const p99s: number[] = [];
  let limit = Infinity;
  do {
    using lateness = new Lateness(context.time);
    p99s.push(await latenessOf(context, channel, subscription));
    limit = lateness.limit(250);
  } while ((p99s.at(-1) as number) > limit && p99s.length < GOES);
  assert.ok((p99s.at(-1) as number) <= limit, `p99 of lateness is ${p99s.join(", ")} ms`);
  await context.nothing(subscription);
}

/** The 99th percentile of how late delayed messages come, milliseconds. */
async function latenessOf(
  context: CaseContext,
  channel: string,
  subscription: Subscription,
): Promise<number> {
  const { clock } = context.time;
  const total = context.count(1000, 50);
  const now = clock.now();
  const sent = context.envelopes(channel, total, () => ({
    deliverAt: now + context.random() * context.unitMs * 5,
  }));
  await context.publish(...sent);
  const storedAt = clock.now();

  const lateMs: number[] = [];
  while (lateMs.length < total) {
    for (const { envelope } of await context.drain(subscription, 1))
      lateMs.push(clock.now() - Math.max(envelope.deliverAt ?? 0, storedAt));
  }
  return lateMs.toSorted((a, b) => a - b)[Math.ceil(total * 0.99) - 1] ?? 0;
}

async function delayedByOrder(context: CaseContext): Promise<void> {
  const { clock } = context.time;
  await inTime(context, async (unitMs) => {
    const channel = context.channel(`unit${unitMs}`);
    const subscription = await context.subscribe(channel);
    const now = clock.now();
    const due = [3, 1, 2].map((units) => ({ deliverAt: now + units * unitMs }));
    await context.publish(...due.map((init) => context.envelope(channel, init)));
    await context.publish(context.envelope(channel));

    const first = await context.drain(subscription, 1);
    const isInTime = clock.now() - now < unitMs;
    const got = [...first, ...(await context.drain(subscription, 3, 1))];

    const units = got.map(({ envelope }) => Math.round(((envelope.deliverAt ?? now) - now) / unitMs));
    if (isInTime) assert.deepEqual(units, [0, 1, 2, 3]);
    return isInTime;
  });
}

async function clockJump(context: CaseContext): Promise<void> {
  const { clock } = context.time;
  assert.ok(clock instanceof FakeClock);
  for (const jumpMs of [3_600_000, -3_600_000]) {
    const channel = context.channel(`j${jumpMs > 0 ? "forward" : "back"}`);
    const subscription = await context.subscribe(channel);
    await context.publish(
      context.envelope(channel),
      context.envelope(channel, { deliverAt: clock.now() + 60_000 }),
    );
    const [delivery] = await context.take(subscription, 1);
    await subscription.settle([{ kind: "nack", delivery: delivery ?? assert.fail(), delayMs: 30_000 }]);
    const from = clock.monotonic();

    clock.jumpWall(jumpMs);

    const dueAt: number[] = [];
    for (let n = 0; n < 2; n++) {
      await context.drain(subscription, 1);
      dueAt.push(Math.round((clock.monotonic() - from) / 1000));
    }
    assert.deepEqual(dueAt, [30, 60], `after a jump of ${jumpMs} ms waits end when they would have`);
  }
}

/** Priority, delay and the clock. */
export const timeCases: readonly ConformanceCase[] = [
  {
    id: "d01-priority",
    group: "D",
    title: "ten urgent messages overtake a thousand that wait, but for those that are out",
    needs: ["priority"],
    acked: 1010,
    run: overtaking,
  },
  {
    id: "d-priority-order",
    group: "D",
    title: "a hundred levels come lower number first, and by age within a level",
    needs: ["priority"],
    acked: 400,
    run: priorityOrder,
  },
  {
    id: "d02-no-starvation",
    group: "D",
    title: "messages of low priority use every slot that urgent ones leave free",
    needs: ["priority"],
    acked: 200,
    run: noStarvation,
  },
  {
    id: "d05-delay",
    group: "D",
    title: "of a thousand delayed messages none comes early and p99 is at most 250 ms late",
    needs: ["delay"],
    stepped: true,
    acked: 1000,
    run: delays,
  },
  {
    id: "d-delay-order",
    group: "D",
    title: "delayed messages come in the order they are due, and hold nobody up",
    needs: ["delay"],
    stepped: true,
    acked: 4,
    run: delayedByOrder,
  },
  {
    id: "d06-clock-jump",
    group: "D",
    title: "setting the wall clock forward or back an hour neither shortens nor prolongs a delay",
    needs: ["stepped", "delay", "nackDelay"],
    stepped: true,
    // The history is written in wall time, which is what jumps here.
    check: { earlyToleranceMs: Infinity },
    acked: 4,
    run: clockJump,
  },
];
