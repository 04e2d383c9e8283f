import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { drain, idsOf, names, opened, take } from "../../../test/support/memory.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { Returned } from "./returned.ts";
import type { Entry } from "./entry.ts";

const back = (kind: "nack" | "release", delivery: Delivery | undefined, delayMs = 0): Settlement[] =>
  delivery === undefined ? [] : [{ kind, delivery, delayMs }];
const done = (delivery: Delivery | undefined): Settlement[] =>
  delivery === undefined ? [] : [{ kind: "ack", delivery }];

describe("messages without a key", () => {
  it("come in the order of their priority, lowest number first, and of publishing within it", async () => {
    const { broker, subscribe } = await opened();
    const subscription = await subscribe();
    const priorities = [50, 0, 99, 50, 10, 0];
    await broker.publish(priorities.map((priority, at) => envelope({ id: `${priority}-${at}`, priority })));

    expect(await drain(subscription)).toEqual(["0-1", "0-5", "10-4", "50-0", "50-3", "99-2"]);
  });

  it("come in the order of publishing alone where the order is strict", async () => {
    const { broker, subscribe } = await opened();
    const subscription = await subscribe("c", { ordering: "strict" });
    await broker.publish([50, 0, 99].map((priority, at) => envelope({ id: `m${at}`, priority })));

    expect(await drain(subscription)).toEqual(["m0", "m1", "m2"]);
  });

  it("that come back stand where they stood, in whatever order they were given back", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(names(8));
    const held = await take(subscription, 5);
    await subscription.settle([3, 0, 4, 2].flatMap((at) => back("release", held[at])));
    await subscription.settle(back("nack", held[1]));

    expect(await drain(subscription)).toEqual(names(8));
  });

  it("that come back stand behind more urgent ones", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["low"], { priority: 80 });
    const [low] = await take(subscription);
    await publish(["high"], { priority: 10 });
    await subscription.settle(back("nack", low));

    expect(await drain(subscription)).toEqual(["high", "low"]);
  });

  it("are handed out exactly at their time, not before, and before those published after it", async () => {
    const { clock, publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["delayed"], { deliverAt: clock.now() + 100 });
    const waiting = subscription.receive(1, 1000);
    await clock.advanceAsync(99);
    expect(await subscription.receive(1, 0).catch(() => "still waiting")).toBe("still waiting");
    await clock.advanceAsync(1);
    expect(idsOf(await waiting)).toEqual(["delayed"]);

    await publish(["d2"], { deliverAt: clock.now() + 100 });
    await clock.advanceAsync(100);
    await publish(["later"]);
    expect(await drain(subscription)).toEqual(["d2", "later"]);
  });

  it("with a time in the past are ready at once", async () => {
    const { clock, publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["m"], { deliverAt: clock.now() - 1 });
    expect(await drain(subscription)).toEqual(["m"]);
  });

  it("come back after a nack's delay as the next attempt, after a release's as the same", async () => {
    const { clock, publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["a", "b"]);
    const [a, b] = await take(subscription);
    const failure = { attempt: 1, code: "X", message: "no", at: clock.now() };
    await subscription.settle([
      { kind: "nack", delivery: a!, delayMs: 100, failure },
      ...back("release", b, 50),
    ]);
    await clock.advanceAsync(50);
    expect((await take(subscription)).map(({ envelope: { id }, attempt }) => [id, attempt])).toEqual([
      ["b", 1],
    ]);
    await clock.advanceAsync(49);
    expect(await take(subscription)).toEqual([]);
    await clock.advanceAsync(1);

    const [again] = await take(subscription);
    expect([again?.attempt, again?.failures]).toEqual([2, [failure]]);
    await subscription.settle(back("nack", again));
    expect((await take(subscription))[0]).toMatchObject({ attempt: 3, failures: [failure] });
  });

  it("that fail again and again carry the first failure and the latest nineteen", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["a"]);
    for (let attempt = 1; attempt <= 100; attempt++) {
      const [delivery] = await take(subscription);
      const failure = { attempt, code: "X", message: "no", at: attempt };
      await subscription.settle([{ kind: "nack", delivery: delivery!, delayMs: 0, failure }]);
    }
    const [last] = await take(subscription);

    expect(last?.attempt).toBe(101);
    const attempts = last?.failures.map(({ attempt }) => attempt);
    expect(attempts).toEqual([1, ...Array.from({ length: 19 }, (_none, at) => at + 82)]);
  });

  it("come back although the delay that was asked for is no number", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["a"]);
    await subscription.settle(back("nack", (await take(subscription))[0], Number.NaN));
    expect(await drain(subscription)).toEqual(["a"]);
  });
});

describe("messages of one key", () => {
  it("are out one at a time, whoever asks, and hold back no other key", async () => {
    const { broker, subscribe } = await opened();
    const [one, two] = [await subscribe(), await subscribe()];
    await broker.publish(["k1", "k1", "k2", "k1"].map((key, at) => envelope({ id: `m${at}`, key })));
    const first = await take(one);
    expect(idsOf(first)).toEqual(["m0", "m2"]);
    expect(await take(two)).toEqual([]);

    await one.settle(done(first[0]));
    const [second] = await take(two);
    expect(second?.envelope.id).toBe("m1");
    expect(await take(one)).toEqual([]);
    await two.settle(done(second));
    expect(idsOf(await take(one))).toEqual(["m3"]);
  });

  it("go on for who waits when the one before has ended", async () => {
    const { publish, subscribe } = await opened();
    const [one, two] = [await subscribe(), await subscribe()];
    await publish(["a", "b"], { key: "k" });
    const [a] = await take(one);
    const waiting = two.receive(1, 1000);
    await one.settle(done(a));

    expect(idsOf(await waiting)).toEqual(["b"]);
  });

  it("are not mixed up with those of another channel or group", async () => {
    const { publish, subscribe } = await opened();
    const g = await subscribe("*");
    const h = await subscribe("*", { group: "h" });
    await publish(["a"], { key: "k", channel: "x" });
    await publish(["b"], { key: "k", channel: "y" });

    expect([idsOf(await take(g)), idsOf(await take(h))]).toEqual([
      ["a", "b"],
      ["a", "b"],
    ]);
  });

  it.each(["strict", "relaxed"] as const)(
    "that are given back at once keep their place, %s",
    async (ordering) => {
      const { publish, subscribe } = await opened();
      const subscription = await subscribe("c", { ordering });
      await publish(["a", "b"], { key: "k" });
      await subscription.settle(back("release", (await take(subscription))[0]));
      const got: string[] = [];
      for (let i = 0; i < 2; i++) got.push(...(await drain(subscription)));

      expect(got).toEqual(["a", "b"]);
    },
  );

  it("wait for one that waits for its retry where the order is strict, and pass it where it is relaxed", async () => {
    for (const [ordering, expected] of [
      ["strict", ["a", "b"]],
      ["relaxed", ["b", "a"]],
    ] as const) {
      const { clock, publish, subscribe } = await opened();
      const subscription = await subscribe("c", { ordering });
      await publish(["a", "b"], { key: "k" });
      await subscription.settle(back("nack", (await take(subscription))[0], 100));
      const early = await drain(subscription);
      await clock.advanceAsync(100);
      const late: string[] = [];
      for (let i = 0; i < 2; i++) late.push(...(await drain(subscription)));

      expect([...early, ...late]).toEqual(expected);
      expect(early).toHaveLength(ordering === "strict" ? 0 : 1);
    }
  });

  it("are free again after a purge, whatever held them", async () => {
    for (const ordering of ["strict", "relaxed"] as const) {
      const { clock, broker, publish, subscribe, report } = await opened();
      const subscription = await subscribe("c", { ordering });
      await publish(["out", "w1", "w2"], { key: "k" });
      await publish(["retried", "w3"], { key: "l" });
      const [out, retried] = await take(subscription);
      await subscription.settle(back("nack", retried, 100));
      await broker.admin.purge("c");
      await publish(["new k"], { key: "k" });
      await publish(["new l"], { key: "l" });
      await subscription.settle(back("nack", out, 0));
      await clock.advanceAsync(100);

      expect((await drain(subscription)).toSorted()).toEqual(["new k", "new l"]);
      expect(await report()).toMatchObject({ groups: [{ lag: 0, unsettled: 0 }] });
    }
  });

  it("keep their order over thousands behind one that is out", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    const all = names(6000);
    await publish(all, { key: "k" });
    const got: string[] = [];
    for (let i = 0; i < all.length; i++) got.push(...(await drain(subscription, 2)));

    expect(got).toEqual(all);
  });

  it("never overtake and are never out together, whatever is acknowledged, failed, released or delayed, in strict order", async () => {
    const step = fc.record({
      action: fc.constantFrom("publish", "take", "ack", "nack", "release", "delay", "clock"),
      at: fc.nat(5),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const { clock, publish, subscribe } = await opened();
        const subscription = await subscribe("c", { ordering: "strict", prefetch: 4 });
        const held: Delivery[] = [];
        const order: Record<string, string[]> = { k0: [], k1: [] };
        let count = 0;
        const accept = (deliveries: readonly Delivery[]): void => {
          held.push(...deliveries);
          const keys = held.map(({ envelope: { key } }) => key);
          expect(new Set(keys).size).toBe(keys.length);
        };
        const settle = async (settlement: Settlement): Promise<void> => {
          if (settlement.kind === "ack")
            order[settlement.delivery.envelope.key ?? ""]?.push(settlement.delivery.envelope.id);
          await subscription.settle([settlement]);
        };
        for (const { action, at } of steps) {
          if (action === "publish")
            await publish([`m${String(count++).padStart(4, "0")}`], { key: `k${at % 2}` });
          else if (action === "take") accept(await take(subscription, at));
          else if (action === "clock") await clock.advanceAsync(10);
          else {
            const [delivery] = held.splice(at % Math.max(1, held.length), 1);
            if (delivery === undefined) continue;
            if (action === "ack") await settle({ kind: "ack", delivery });
            else
              await settle({
                kind: action === "release" ? "release" : "nack",
                delivery,
                delayMs: action === "delay" ? 15 : 0,
              });
          }
        }
        for (const delivery of held.splice(0)) await settle({ kind: "ack", delivery });
        await clock.advanceAsync(100);
        for (let got = await take(subscription); got.length > 0; got = await take(subscription)) {
          for (const delivery of got) await settle({ kind: "ack", delivery });
        }

        expect(Object.values(order).flat()).toHaveLength(count);
        for (const ids of Object.values(order)) expect(ids).toEqual(ids.toSorted());
      }),
      { numRuns: 150 },
    );
  });
});

describe("what came back", () => {
  it("comes out in the order of publishing, in whatever order it went in", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(1000), { maxLength: 50 }),
        fc.array(fc.boolean(), { maxLength: 100 }),
        (sequences, pops) => {
          const returned = new Returned();
          const model: number[] = [];
          const waiting = [...sequences];
          for (const isPop of [...pops, ...sequences.map(() => false), ...sequences.map(() => true)]) {
            if (isPop) {
              model.sort((a, b) => a - b);
              expect(returned.pop()?.sequence).toBe(model.shift());
            } else {
              const sequence = waiting.shift();
              if (sequence === undefined) continue;
              returned.push({ sequence } as Entry);
              model.push(sequence);
            }
            expect(returned.size).toBe(model.length);
          }
        },
      ),
    );
  });
});
