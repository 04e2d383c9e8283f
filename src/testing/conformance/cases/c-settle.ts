import assert from "node:assert/strict";
import type { Subscription } from "../../../core/broker.ts";
import type { Delivery } from "../../../core/delivery.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";
import { afterDelay } from "./in-time.ts";

async function one(
  context: CaseContext,
  prefetch = 10,
): Promise<{ subscription: Subscription; delivery: Delivery; channel: string }> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel, { prefetch });
  await context.publish(context.envelope(channel, { headers: { h: "1" } }));
  const [delivery] = await context.take(subscription, 1);
  return { subscription, delivery: delivery ?? assert.fail(), channel };
}

async function ackEnds(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);

  await context.ack(subscription, [delivery]);

  await context.nothing(subscription, context.unitMs * 5);
}

async function nackRedelivers(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);
  assert.equal(delivery.attempt, 1);

  let current = delivery;
  for (const attempt of [2, 3, 4]) {
    await subscription.settle([{ kind: "nack", delivery: current, delayMs: 0 }]);
    const [again] = await context.take(subscription, 1);
    current = again ?? assert.fail();
    assert.deepEqual([current.envelope.id, current.attempt], [delivery.envelope.id, attempt]);
    assert.deepEqual({ ...current.envelope.headers }, { h: "1" });
  }
  await context.ack(subscription, [current]);
  await context.nothing(subscription);
}

async function nackWaits(context: CaseContext): Promise<void> {
  using lateness = new Lateness(context.time);
  let { subscription, delivery } = await one(context);

  const nack = (delayMs: number) => subscription.settle([{ kind: "nack", delivery, delayMs }]);
  const lateMs = await afterDelay(context, nack, async () => {
    const [next] = await context.take(subscription, 1);
    delivery = next ?? assert.fail();
  });

  await context.ack(subscription, [delivery]);
  // Half a second is what a broker's own housekeeping may add.
  assert.ok(lateMs < lateness.limit(500), `redelivered ${lateMs} ms late`);
}

async function releaseKeeps(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);

  await subscription.settle([{ kind: "release", delivery, delayMs: 0 }]);
  const [released] = await context.take(subscription, 1);
  assert.equal(released?.attempt, 1, "a release is not an attempt");
  await subscription.settle([{ kind: "nack", delivery: released ?? assert.fail(), delayMs: 0 }]);
  const [nacked] = await context.take(subscription, 1);
  assert.equal(nacked?.attempt, 2);
  await subscription.settle([
    { kind: "release", delivery: nacked ?? assert.fail(), delayMs: context.unitMs },
  ]);
  const [last] = await context.take(subscription, 1);

  assert.equal(last?.attempt, 2);
  await context.ack(subscription, last === undefined ? [] : [last]);
}

async function settleTwice(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);

  await context.ack(subscription, [delivery, delivery]);
  await context.ack(subscription, [delivery]);
  await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);
  await subscription.settle([{ kind: "release", delivery, delayMs: 0 }]);

  await context.nothing(subscription);
}

async function lateSettlement(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);
  await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);
  const [again] = await context.take(subscription, 1);

  // The first delivery is over: an ack that comes now must not end the second.
  await context.ack(subscription, [delivery]);
  await subscription.settle([{ kind: "nack", delivery: again ?? assert.fail(), delayMs: 0 }]);

  const [third] = await context.drain(subscription, 1);
  assert.equal(third?.attempt, 3);
}

async function settleAfterClose(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel, { prefetch: 4 });
  await context.publish(...context.envelopes(channel, 4));
  const [kept, given, ...rest] = await context.take(subscription, 4);

  await subscription.close();
  assert.deepEqual(await subscription.receive(4, 0), []);
  await context.ack(subscription, [kept ?? assert.fail(), ...rest]);
  await subscription.settle([{ kind: "nack", delivery: given ?? assert.fail(), delayMs: 0 }]);

  const next = await context.subscribe(channel);
  const [again] = await context.drain(next, 1);
  assert.deepEqual([again?.envelope.id, again?.attempt], [given?.envelope.id, 2]);
  await context.nothing(next);
}

async function noLease(context: CaseContext): Promise<void> {
  const { subscription, delivery, channel } = await one(context);
  if (context.has("lease"))
    assert.ok((delivery.leaseMs ?? 0) > 0, "a broker with leases says how long they are");
  else assert.equal(delivery.leaseMs, null, "a broker without leases has no limit");
  const leaseMs = delivery.leaseMs ?? context.unitMs;
  const other = await context.subscribe(channel);

  // As a renewer does it: two thirds of a lease are left for whatever the machine does meanwhile.
  for (let step = 0; step < 15; step++) {
    await context.nothing(other, leaseMs / 3);
    if (context.has("lease")) await subscription.settle([{ kind: "extend", delivery, leaseMs }]);
  }

  await context.ack(subscription, [delivery]);
  await context.nothing(other, leaseMs);
}

async function leaseEnds(context: CaseContext): Promise<void> {
  const { subscription, delivery, channel } = await one(context);
  const leaseMs = delivery.leaseMs ?? assert.fail("a broker with leases says how long they are");
  const other = await context.subscribe(channel);
  const at = context.time.clock.monotonic();
  context.history.add({ type: "abandoned", id: delivery.envelope.id, group: "g" });

  const [again] = await context.take(other, 1, leaseMs + 1000);

  const waitedMs = context.time.clock.monotonic() - at;
  assert.ok(waitedMs >= leaseMs * 0.9, `redelivered after ${waitedMs} ms of a lease of ${leaseMs} ms`);
  assert.equal(again?.attempt, 2);
  // What is settled after its lease has no effect on the delivery that took over.
  await context.ack(subscription, [delivery]);
  await context.nothing(subscription);
  await context.ack(other, again === undefined ? [] : [again]);
}

async function failuresTravel(context: CaseContext): Promise<void> {
  const { subscription, delivery } = await one(context);
  const failure = {
    attempt: 1,
    code: "HANDLER_FAILED",
    message: "no",
    at: Math.floor(context.time.clock.now()),
  };

  await subscription.settle([{ kind: "nack", delivery, delayMs: 0, failure }]);

  const [again] = await context.drain(subscription, 1);
  const kept = again?.failures ?? [];
  assert.ok(kept.length === 0 || kept.length === 1, "a failure is kept once or not at all");
  if (kept.length === 1) assert.deepEqual(kept, [failure]);
}

/** Settlements. */
export const settleCases: readonly ConformanceCase[] = [
  { id: "c-ack-ends", title: "an acknowledged message does not come again", run: ackEnds, acked: 1 },
  {
    id: "c-nack-redelivers",
    title: "a nack brings the message back as the next attempt",
    run: nackRedelivers,
    acked: 1,
  },
  {
    id: "c-nack-waits",
    title: "a nack with a delay brings the message back after it, not before",
    needs: ["nackDelay"] as const,
    run: nackWaits,
    acked: 1,
  },
  {
    id: "c-release-keeps-attempt",
    title: "a release brings the message back as the same attempt",
    needs: ["exactAttempts", "nackDelay"] as const,
    run: releaseKeeps,
    acked: 1,
  },
  { id: "c-settle-twice", title: "a second settlement of a delivery is ignored", run: settleTwice, acked: 1 },
  {
    id: "c-late-settlement",
    title: "settling a delivery that is over leaves the next one alone",
    run: lateSettlement,
    acked: 1,
  },
  {
    id: "c-settle-after-close",
    title: "a closed subscription hands out nothing and still settles",
    run: settleAfterClose,
    acked: 4,
  },
  {
    id: "c02-lease-renew",
    title: "a message that is worked on for five leases is handed out once",
    run: noLease,
    acked: 1,
  },
  {
    id: "c03-lease-expiry",
    title: "what a dead consumer held is handed out again when its lease ends, and its late ack is ignored",
    needs: ["lease"] as const,
    run: leaseEnds,
    acked: 1,
  },
  {
    id: "c-failures-travel",
    title: "what a nack says of a failure is kept as it was said, or not at all",
    run: failuresTravel,
    acked: 1,
  },
].map((one) => ({ group: "C", stepped: true, ...one }));
