import fc from "fast-check";
import { expect, it } from "vitest";
import { MemoryBroker } from "../src/brokers/memory/broker.ts";
import type { Broker, Subscription } from "../src/core/broker.ts";
import type { Delivery } from "../src/core/delivery.ts";
import { check } from "../src/testing/checker/check.ts";
import { History } from "../src/testing/checker/history.ts";
import { describeVerdict } from "../src/testing/checker/verdict.ts";
import { RecordedBroker } from "../src/testing/conformance/recorded-broker.ts";
import { FakeClock } from "../src/testing/fake-clock.ts";
import { envelope } from "./support/envelopes.ts";
import { ReferenceModel } from "./support/reference-model.ts";
import { ModelCommand, type ModelStep } from "./support/model-command.ts";

const PREFETCH = 4;
const WINDOW_MS = 1_000_000_000;

/** The broker under test, and what its consumer has in hand. */
interface Real {
  readonly clock: FakeClock;
  readonly broker: Broker;
  subscription: Subscription;
  readonly inHand: { readonly delivery: Delivery; readonly subscription: Subscription }[];
}

type Step = ModelStep<ReferenceModel, Real>;

/** A step, after which both must agree. */
class Command extends ModelCommand<ReferenceModel, Real> {
  override async run(model: ReferenceModel, real: Real): Promise<void> {
    await super.run(model, real);
    await agreeOnNumbers(model, real);
  }
}

/** Lag and unsettled are what the model holds. */
async function agreeOnNumbers(model: ReferenceModel, { broker }: Real): Promise<void> {
  const { channels } = await broker.inspect({ channels: ["c"] });
  const held = [...model.held.values()];
  const expected = {
    group: "g",
    lag: held.length,
    unsettled: held.filter(({ holder }) => holder !== undefined).length,
  };

  expect(channels.flatMap(({ groups }) => groups)).toEqual(channels.length === 0 ? [] : [expected]);
}

const publish = (
  id: string | undefined,
  key: string | undefined,
  priority: number,
  delayMs: number,
): Step => {
  return async (model, { broker, clock }) => {
    const dedupe = id !== undefined;
    const deliverAt = delayMs === 0 ? undefined : clock.now() + delayMs;
    const sent = envelope({ channel: "c", key, priority, deliverAt, ...(dedupe ? { id } : {}) });

    const [result] = await broker.publish([sent], { dedupe });

    const isKnown = dedupe && model.isKnown(sent.id);
    expect(result).toMatchObject({ ok: true, deduplicated: isKnown });
    if (result?.ok !== true || isKnown) return;
    model.publish({ position: result.position ?? "", id: sent.id, key, priority }, delayMs, dedupe);
  };
};

const receive = (limit: number): Step => {
  return async (model, real) => {
    const deliveries = await real.subscription.receive(limit, 0);

    expect(deliveries.length).toBeLessThanOrEqual(Math.min(limit, model.room()));
    for (const delivery of deliveries) {
      expect(model.objection(delivery.position, delivery.attempt)).toBeUndefined();
      Object.assign(model.held.get(delivery.position) ?? {}, { holder: model.open });
      real.inHand.push({ delivery, subscription: real.subscription });
    }
    // Nothing that could have been handed out was kept back.
    const mayBeMore = deliveries.length < limit && model.room() > 0;
    expect(mayBeMore ? model.eligible() : []).toEqual([]);
  };
};

const settle = (kind: "ack" | "nack" | "release", nth: number, delayMs: number): Step => {
  return async (model, { inHand }) => {
    const [chosen] = inHand.splice(inHand.length === 0 ? 0 : nth % inHand.length, 1);
    if (chosen === undefined) return;
    const { delivery, subscription } = chosen;

    await subscription.settle([kind === "ack" ? { kind, delivery } : { kind, delivery, delayMs }]);
    // A second settlement is ignored.
    await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);

    model.settle(delivery.position, kind, delayMs);
  };
};

const advance = (ms: number): Step => {
  return async (model, { clock }) => {
    await clock.advanceAsync(ms);
    model.now += ms;
  };
};

const close: Step = async (model, { subscription }) => {
  await subscription.close();
  model.open = undefined;
};

const reopen: Step = async (model, real) => {
  await real.subscription.close();
  real.subscription = await real.broker.subscribe({ pattern: "c", group: "g", prefetch: PREFETCH });
  model.reopen();
};

const key = fc.constantFrom(undefined, "a", "b");
const priority = fc.constantFrom(50, 50, 50, 10, 80);
const delay = fc.constantFrom(0, 0, 0, 10, 1000);
const position = fc.nat(20);
const command = (text: string, step: Step) => new Command(text, step);

const commands = [
  fc
    .tuple(key, priority, delay)
    .map(([k, p, d]) => command(`publish(${k}, ${p}, ${d} ms)`, publish(undefined, k, p, d))),
  fc
    .tuple(fc.constantFrom("same-1", "same-2"), key)
    .map(([id, k]) => command(`publishSameId(${id}, ${k})`, publish(id, k, 50, 0))),
  fc.integer({ min: 1, max: 6 }).map((limit) => command(`receive(${limit})`, receive(limit))),
  position.map((nth) => command(`ack(${nth})`, settle("ack", nth, 0))),
  fc.tuple(position, delay).map(([nth, d]) => command(`nack(${nth}, ${d} ms)`, settle("nack", nth, d))),
  fc.tuple(position, delay).map(([nth, d]) => command(`release(${nth}, ${d} ms)`, settle("release", nth, d))),
  fc.constantFrom(1, 10, 999, 1000).map((ms) => command(`advance(${ms} ms)`, advance(ms))),
  fc.constant(command("expireWindow", advance(2 * WINDOW_MS))),
  fc.constant(command("close", close)),
  fc.constant(command("reopen", reopen)),
];

it("behaves as the reference model does, whatever is done to it", async () => {
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 50, size: "max" }), async (run) => {
    const clock = new FakeClock();
    const broker = new MemoryBroker({ clock, dedupeWindowMs: WINDOW_MS });
    await broker.open();
    const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: PREFETCH });

    await fc.asyncModelRun(
      () => ({
        model: new ReferenceModel(PREFETCH, WINDOW_MS),
        real: { clock, broker, subscription, inHand: [] },
      }),
      run,
    );

    await broker.close();
    expect(clock.pending).toBe(0);
  });

  await fc.assert(property, { numRuns: 200 });
});

/** One consumer: receives and settles, every call in an order that the scheduler chooses, until everything is acknowledged. */
async function consume(
  subscription: Subscription,
  state: { left: number },
  nackEvery: number,
): Promise<void> {
  let seen = 0;
  for (let round = 0; round < 400 && state.left > 0; round++) {
    for (const delivery of await subscription.receive(2, 0)) {
      const isNacked = nackEvery > 0 && ++seen % nackEvery === 0;
      await subscription.settle([
        isNacked ? { kind: "nack", delivery, delayMs: 0 } : { kind: "ack", delivery },
      ]);
      if (!isNacked) state.left--;
    }
  }
}

it("loses, doubles and reorders nothing, however the promises of publishers and consumers interleave", async () => {
  const shape = fc.record({
    publishers: fc.integer({ min: 1, max: 3 }),
    consumers: fc.integer({ min: 1, max: 3 }),
    nackEvery: fc.constantFrom(0, 2, 3),
  });
  const property = fc.asyncProperty(
    fc.scheduler(),
    shape,
    async (scheduler, { publishers, consumers, nackEvery }) => {
      const history = new History(new FakeClock());
      const broker = new RecordedBroker(new MemoryBroker(), {
        history,
        published: new Set(),
        hashedAsMessage: new Set(),
        batches: 0,
        consumers: 0,
      });
      await broker.open();
      const each = 8;
      const state = { left: publishers * each };
      const scheduled = (target: Subscription): Subscription => ({
        receive: scheduler.scheduleFunction((limit: number, waitMs: number) => target.receive(limit, waitMs)),
        settle: scheduler.scheduleFunction((settlements) => target.settle(settlements)),
        close: () => target.close(),
      });
      const subscriptions: Subscription[] = [];
      for (let n = 0; n < consumers; n++)
        subscriptions.push(scheduled(await broker.subscribe({ pattern: "c", group: "g", prefetch: 3 })));
      const send = scheduler.scheduleFunction((id: string, k: string) =>
        broker.publish([envelope({ id, channel: "c", key: k })]),
      );
      const write = async (writer: number) => {
        for (let n = 0; n < each; n++) await send(`w${writer}-${n}`, `k${n % 2}`);
      };

      await scheduler.waitFor(
        Promise.all([
          ...Array.from({ length: publishers }, (_none, at) => write(at)),
          ...subscriptions.map((one) => consume(one, state, nackEvery)),
        ]),
      );

      const verdict = check(history.events, { order: "relaxed", minAcked: publishers * each });
      expect(describeVerdict(verdict)).toBe(`ok, ${publishers * each} acked`);
    },
  );

  await fc.assert(property, { numRuns: 100 });
});
