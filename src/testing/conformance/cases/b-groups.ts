import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { Subscription } from "../../../core/broker.ts";
import { randomInt } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

async function twoGroups(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const first = await context.subscribe(channel, { group: "first" });
  const second = await context.subscribe(channel, { group: "second" });
  const total = context.count(1000);

  await context.publish(...context.envelopes(channel, total));

  await context.drain(first, total);
  await context.drain(second, total);
  await context.nothing(first);
  await context.nothing(second);
}

async function lateGroup(context: CaseContext): Promise<void> {
  const channel = context.channel();
  // A group of its own keeps the channel alive on brokers that only keep what somebody waits for.
  const keeper = await context.subscribe(channel, { group: "keeper" });
  const before = context.count(500);
  await context.publish(...context.envelopes(channel, before));

  const earliest = await context.subscribe(channel, { group: "earliest", from: "earliest" });
  const latest = await context.subscribe(channel, { group: "latest", from: "new" });

  await context.drain(earliest, before);
  await context.nothing(latest);
  await context.publish(context.envelope(channel));
  for (const subscription of [earliest, latest]) await context.drain(subscription, 1);
  await context.drain(keeper, before + 1);
}

async function shared(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const members = [
    await context.subscribe(channel, { prefetch: 5 }),
    await context.subscribe(channel, { prefetch: 5 }),
  ];
  const total = context.count(200);
  await context.publish(...context.envelopes(channel, total));

  const shares = members.map(() => 0);
  const drainBoth = async () => {
    for (const [at, member] of members.entries()) {
      const deliveries = await context.receive(member, 5, 0);
      await context.ack(member, deliveries);
      shares[at] = (shares[at] ?? 0) + deliveries.length;
    }
    return shares.reduce((sum, share) => sum + share, 0) >= total;
  };
  await context.until(drainBoth, () => `${total} deliveries; ${shares.join(" and ")} came`);

  assert.ok(!shares.includes(0), `both members must get a share: ${shares.join(" and ")}`);
  for (const member of members) await context.nothing(member);
}

async function groupReturns(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const total = context.count(100);
  const before = await context.subscribe(channel);
  await context.publish(...context.envelopes(channel, total));
  await context.drain(before, total / 2, 10);
  await before.close();
  await context.publish(...context.envelopes(channel, total));

  const after = await context.subscribe(channel);

  await context.drain(after, total + total / 2, 10);
  await context.nothing(after);
}

async function memberLeaves(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const leaving = await context.subscribe(channel, { prefetch: 10 });
  await context.publish(...context.envelopes(channel, 10));
  const held = await context.take(leaving, 10);
  const staying = await context.subscribe(channel, { prefetch: 10 });

  await leaving.close();
  await leaving.settle(held.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));

  await context.drain(staying, 10);
  await context.nothing(staying);
}

async function churn(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const total = context.count(2000, 200);
  const handled = new Set<string>();
  let isOver = false;
  const member = async (subscription: Subscription, life: number) => {
    for (let round = 0; round < life && !isOver; round++) {
      const deliveries = await context.poll(subscription, 5, 50);
      await turn();
      await context.ack(subscription, deliveries);
      for (const { envelope } of deliveries) handled.add(envelope.id);
    }
    await subscription.close();
  };
  const join = async (): Promise<void> => {
    while (!isOver)
      await member(await context.subscribe(channel, { prefetch: 10 }), 1 + randomInt(context.random, 12));
  };
  // The group exists before the first message.
  await (await context.subscribe(channel)).close();

  const members = Promise.all(Array.from({ length: 6 }, join));
  members.catch(() => {});
  for (let at = 0; at < total; at += 10) {
    await context.publish(...context.envelopes(channel, 10, (n) => ({ key: `k${(at + n) % 20}` })));
    await turn();
  }
  await context.until(
    () => handled.size >= total,
    () => `${total} messages to be handled; ${handled.size} were`,
  );
  isOver = true;
  await members;
}

async function broadcast(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const total = context.count(100);
  const everyone: Subscription[] = [];
  for (let n = 0; n < 3; n++) everyone.push(await context.subscribe(channel, { group: null }));
  const grouped = await context.subscribe(channel, { group: "beside" });

  await context.publish(...context.envelopes(channel, total));

  for (const subscription of [...everyone, grouped]) {
    await context.drain(subscription, total);
    await context.nothing(subscription);
  }
}

async function broadcastFromNow(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const keeper = await context.subscribe(channel, { group: null });
  await context.publish(...context.envelopes(channel, 10));

  const late = await context.subscribe(channel, { group: null });
  await context.nothing(late);
  const last = context.envelope(channel);
  await context.publish(last);

  const got = await context.drain(late, 1);
  assert.equal(got[0]?.envelope.id, last.id);
  await context.drain(keeper, 11);
  await late.close();
  await context.publish(context.envelope(channel));
  assert.deepEqual(await context.receive(late, 10, 0), [], "a closed broadcast gets nothing");
  await context.drain(keeper, 1);
}

async function replayByPosition(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const keeper = await context.subscribe(channel, { group: "keeper" });
  const sent = context.envelopes(channel, 20);
  await context.publish(...sent);
  const positions = (await context.drain(keeper, 20)).map(({ position }) => position);

  const again = await context.subscribe(channel, { group: "again", from: { position: positions[10] ?? "" } });

  // A position names its own message: that one is the first to be read again.
  const got = await context.drain(again, 10);
  assert.deepEqual(
    got.map(({ envelope }) => envelope.id),
    sent.slice(10).map(({ id }) => id),
  );
  await context.nothing(again);
}

async function replayByTime(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const keeper = await context.subscribe(channel, { group: "keeper" });
  await context.publish(...context.envelopes(channel, 10));
  await context.time.elapse(20);
  const time = context.time.clock.now();
  await context.time.elapse(20);
  const later = context.envelopes(channel, 10);
  await context.publish(...later);

  const again = await context.subscribe(channel, { group: "again", from: { time } });

  const got = await context.drain(again, 10);
  assert.deepEqual(
    got.map(({ envelope }) => envelope.id),
    later.map(({ id }) => id),
  );
  await context.nothing(again);
  await context.drain(keeper, 20);
}

/** Groups, broadcast and replay. */
export const groupCases: readonly ConformanceCase[] = [
  {
    id: "b01-two-groups",
    group: "B",
    title: "two groups each get every message",
    needs: ["groups"],
    stepped: true,
    acked: 1000,
    run: twoGroups,
  },
  {
    id: "b02-late-group",
    group: "B",
    title: "a group that comes late gets everything from earliest, and nothing old from new",
    needs: ["groups", "replay"],
    stepped: true,
    acked: 501,
    run: lateGroup,
  },
  {
    id: "b07-churn",
    group: "B",
    title: "members that join and leave lose nothing and keep the order of each key",
    needs: ["groups"],
    longLeases: true,
    acked: 2000,
    run: churn,
  },
  {
    id: "b-shared",
    group: "B",
    title: "the members of a group share its messages",
    needs: ["groups"],
    acked: 200,
    run: shared,
  },
  {
    id: "b-group-returns",
    group: "B",
    title: "a group that returns goes on where it stopped",
    needs: ["groups"],
    stepped: true,
    acked: 200,
    run: groupReturns,
  },
  {
    id: "b-member-leaves",
    group: "B",
    title: "what a leaving member gives back goes to another",
    needs: ["groups"],
    stepped: true,
    acked: 10,
    run: memberLeaves,
  },
  {
    id: "b-broadcast",
    group: "B",
    title: "every broadcast subscription gets every message, beside the groups",
    needs: ["broadcast"],
    stepped: true,
    acked: 100,
    run: broadcast,
  },
  {
    id: "b-broadcast-from-now",
    group: "B",
    title: "a broadcast subscription gets nothing from before it began or after it ended",
    needs: ["broadcast"],
    stepped: true,
    acked: 12,
    run: broadcastFromNow,
  },
  {
    id: "b-replay-position",
    group: "B",
    title: "a new group can start at the position of a message",
    needs: ["groups", "replayByPosition"],
    stepped: true,
    acked: 20,
    run: replayByPosition,
  },
  {
    id: "b-replay-time",
    group: "B",
    title: "a new group can start at a time",
    needs: ["groups", "replayByTime"],
    stepped: true,
    acked: 20,
    run: replayByTime,
  },
];
