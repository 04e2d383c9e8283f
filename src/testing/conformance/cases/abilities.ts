import assert from "node:assert/strict";
import type { Ability, BrokerPublishOptions, SubscriptionSpec } from "../../../core/broker.ts";
import type { Envelope } from "../../../core/envelope.ts";
import type { Delivery } from "../../../core/delivery.ts";
import { toHeraldError } from "../../../core/errors.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { afterDelay } from "./in-time.ts";

/** An ability from both sides: what it does where it is claimed, and how asking for it ends where it is not. */
interface BothWays {
  readonly ability: Ability;
  readonly on: string;
  readonly off: string;
  readonly has: (context: CaseContext, channel: string) => Promise<void>;
  readonly lacks: (context: CaseContext, channel: string) => Promise<void>;
}

/** Subscribing so must be refused as unsupported. */
async function refusesSubscription(
  context: CaseContext,
  pattern: string,
  spec: Partial<SubscriptionSpec>,
): Promise<void> {
  assert.equal(await context.codeOf(context.subscribe(pattern, spec)), "UNSUPPORTED");
}

/** Publishing so must be refused as unsupported, by a rejection or in its place among the results. */
async function refusesPublish(
  context: CaseContext,
  envelope: Envelope,
  options?: BrokerPublishOptions,
): Promise<void> {
  const ask = async () => {
    const [result] = await context.broker.publish([envelope], options);
    if (result?.ok === false) throw toHeraldError(result.error);
  };
  assert.equal(await context.codeOf(ask()), "UNSUPPORTED");
}

/** A delivery that is out, on whatever kind of subscription the broker has. */
async function taken(context: CaseContext, channel: string) {
  const subscription = await context.subscribe(channel, context.has("groups") ? {} : { group: null });
  await context.publish(context.envelope(channel));
  const [delivery] = await context.take(subscription, 1);
  return { subscription, delivery: delivery ?? assert.fail() };
}

const subscribing: readonly BothWays[] = [
  {
    ability: "groups",
    on: "members of a group share",
    off: "a group is refused",
    async has(context, channel) {
      const members = [await context.subscribe(channel), await context.subscribe(channel)];
      await context.publish(context.envelope(channel));
      let got: readonly (readonly Delivery[])[] = [];
      const hasCome = async () => {
        got = await Promise.all(members.map((member) => context.receive(member, 1, context.unitMs)));
        return got.flat().length > 0;
      };
      await context.until(hasCome, "the message to come to a member");
      assert.equal(got.flat().length, 1);
      for (const member of members) await context.nothing(member);
      for (const [at, member] of members.entries()) await context.ack(member, got[at] ?? []);
    },
    lacks: (context, channel) => refusesSubscription(context, channel, { group: "g" }),
  },
  {
    ability: "broadcast",
    on: "every broadcast subscription gets a copy",
    off: "a subscription without a group is refused",
    async has(context, channel) {
      const both = [
        await context.subscribe(channel, { group: null }),
        await context.subscribe(channel, { group: null }),
      ];
      await context.publish(context.envelope(channel));
      for (const subscription of both) await context.drain(subscription, 1);
    },
    lacks: (context, channel) => refusesSubscription(context, channel, { group: null }),
  },
  {
    ability: "wildcard",
    on: "a pattern covers more than one channel",
    off: "a pattern is refused",
    async has(context, channel) {
      const subscription = await context.subscribe(`${channel}.*`);
      await context.publish(context.envelope(`${channel}.a`), context.envelope(`${channel}.b`));
      await context.drain(subscription, 2);
    },
    lacks: (context, channel) => refusesSubscription(context, `${channel}.*`, {}),
  },
  {
    ability: "replayByPosition",
    on: "a position is a place to start",
    off: "a position is refused as a place to start",
    async has(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      await context.ack(subscription, [delivery]);
      await context.drain(
        await context.subscribe(channel, { group: "again", from: { position: delivery.position } }),
        1,
      );
    },
    lacks: (context, channel) => refusesSubscription(context, channel, { from: { position: "1" } }),
  },
  {
    ability: "replayByTime",
    on: "a time is a place to start",
    off: "a time is refused as a place to start, and so is earliest where there is no replay at all",
    async has(context, channel) {
      const time = context.time.clock.now();
      await context.publish(context.envelope(channel));
      await context.drain(await context.subscribe(channel, { group: "again", from: { time } }), 1);
    },
    async lacks(context, channel) {
      await refusesSubscription(context, channel, { from: { time: 0 } });
      if (!context.has("replay")) await refusesSubscription(context, channel, { from: "earliest" });
    },
  },
];

const publishing: readonly BothWays[] = [
  {
    ability: "priority",
    on: "the lower number is handed out first",
    off: "a priority other than the default is refused",
    async has(context, channel) {
      const subscription = await context.subscribe(channel);
      await context.publish(
        context.envelope(channel, { priority: 80 }),
        context.envelope(channel, { priority: 10 }),
      );
      const got = await context.drain(subscription, 2);
      assert.deepEqual(
        got.map(({ envelope }) => envelope.priority),
        [10, 80],
      );
    },
    lacks: (context, channel) => refusesPublish(context, context.envelope(channel, { priority: 10 })),
  },
  {
    ability: "delay",
    on: "deliverAt is waited for",
    off: "a deliverAt to come is refused",
    async has(context, channel) {
      const subscription = await context.subscribe(channel);
      const ask = (delayMs: number) =>
        context.publish(context.envelope(channel, { deliverAt: context.time.clock.now() + delayMs }));
      await afterDelay(context, ask, () => context.drain(subscription, 1));
    },
    lacks: (context, channel) =>
      refusesPublish(context, context.envelope(channel, { deliverAt: context.time.clock.now() + 60_000 })),
  },
  {
    ability: "dedupe",
    on: "an id that is published again is recognised",
    off: "asking for it is refused",
    async has(context, channel) {
      const subscription = await context.subscribe(channel);
      const envelope = context.envelope(channel);
      const first = await context.broker.publish([envelope], { dedupe: true });
      const second = await context.broker.publish([envelope], { dedupe: true });
      assert.deepEqual(
        [...first, ...second].map((result) => result.ok && result.deduplicated),
        [false, true],
      );
      await context.drain(subscription, 1);
      await context.nothing(subscription);
    },
    lacks: (context, channel) => refusesPublish(context, context.envelope(channel), { dedupe: true }),
  },
];

const settling: readonly BothWays[] = [
  {
    ability: "nackDelay",
    on: "the delay of a nack is waited for",
    off: "a nack with a delay is refused",
    async has(context, channel) {
      let { subscription, delivery } = await taken(context, channel);
      const nack = (delayMs: number) => subscription.settle([{ kind: "nack", delivery, delayMs }]);
      const again = async () => {
        const [next] = await context.take(subscription, 1);
        delivery = next ?? assert.fail();
      };
      await afterDelay(context, nack, again);
      await context.ack(subscription, [delivery]);
    },
    async lacks(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      const nack = { kind: "nack", delivery, delayMs: 60_000 } as const;
      assert.equal(await context.codeOf(subscription.settle([nack])), "UNSUPPORTED");
      // What was refused has not happened: the delivery is still out.
      await context.ack(subscription, [delivery]);
    },
  },
  {
    ability: "exactAttempts",
    on: "a release does not raise the attempt",
    off: "a release raises the attempt",
    async has(context, channel) {
      assert.equal(await attemptAfterRelease(context, channel), 1);
    },
    async lacks(context, channel) {
      assert.equal(await attemptAfterRelease(context, channel), 2);
    },
  },
  {
    ability: "lease",
    on: "a delivery says how long it is ours, and extending makes it longer",
    off: "a delivery has no limit",
    async has(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      const leaseMs = delivery.leaseMs ?? assert.fail("there must be a lease");
      await subscription.settle([{ kind: "extend", delivery, leaseMs: leaseMs * 3 }]);
      await context.nothing(subscription, leaseMs * 2);
      await context.ack(subscription, [delivery]);
    },
    async lacks(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      assert.equal(delivery.leaseMs, null);
      await context.ack(subscription, [delivery]);
    },
  },
  {
    ability: "lag",
    on: "lag is a number",
    off: "lag is unknown",
    async has(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      assert.equal(await context.lag(channel), 1);
      await context.ack(subscription, [delivery]);
    },
    async lacks(context, channel) {
      const { subscription, delivery } = await taken(context, channel);
      assert.equal(await context.lag(channel), null);
      await context.ack(subscription, [delivery]);
    },
  },
];

async function attemptAfterRelease(context: CaseContext, channel: string): Promise<number | undefined> {
  const { subscription, delivery } = await taken(context, channel);
  await subscription.settle([{ kind: "release", delivery, delayMs: 0 }]);
  const [again] = await context.drain(subscription, 1);
  return again?.attempt;
}

/** Every ability, claimed or not. */
export const abilityCases: readonly ConformanceCase[] = [...subscribing, ...publishing, ...settling].map(
  (both) => ({
    id: `ability-${both.ability}`,
    group: "abilities",
    title: `with ${both.ability}, ${both.on}; without, ${both.off}`,
    stepped: true,
    acked: 0,
    run: (context) => both[context.has(both.ability) ? "has" : "lacks"](context, context.channel()),
  }),
);
