import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { codesOf, drain, names, opened, take } from "../../../test/support/memory.ts";
import type { Delivery } from "../../core/delivery.ts";
import { settlePromises } from "../../testing/fake-clock.ts";
import type { MemoryBrokerOptions } from "./broker.ts";

const full = { maxMessages: 3, replay: 0 } as const;
type Opened = Awaited<ReturnType<typeof opened>>;

/** How many messages of one byte still fit: publishes until one is refused or drops another, then takes all of it out again. */
async function roomLeft({ broker, publish, subscribe }: Opened): Promise<number> {
  const probe = await subscribe("probe", { group: "probe" });
  const { dropped } = await broker.inspect();
  let room = 0;
  for (; room < 100; room++) {
    if (codesOf(await publish([`p${room}`], { channel: "probe" }))[0] !== "ok") break;
    if ((await broker.inspect()).dropped > dropped) break;
  }
  while ((await drain(probe)).length > 0);
  return room;
}

describe("a full broker", () => {
  it("that rejects refuses at once, and takes messages again when some were acknowledged", async () => {
    const { publish, subscribe } = await opened({ ...full, overflow: "reject" });
    const subscription = await subscribe();
    expect(codesOf(await publish(names(5)))).toEqual(["ok", "ok", "ok", "OVERLOADED", "OVERLOADED"]);
    const [result] = await publish(["x"]);
    expect(result).toMatchObject({ error: { retryable: true, details: { messages: 3, maxMessages: 3 } } });

    await drain(subscription, 2);
    expect(codesOf(await publish(names(3)))).toEqual(["ok", "ok", "OVERLOADED"]);
  });

  it("counts every group's copy, and what is handed out or waits for its retry", async () => {
    const { publish, subscribe } = await opened({ maxMessages: 4, replay: 0, overflow: "reject" });
    const one = await subscribe();
    await subscribe("c", { group: "h" });
    expect(codesOf(await publish(names(3)))).toEqual(["ok", "ok", "OVERLOADED"]);
    const [held] = await take(one, 1);
    expect(codesOf(await publish(["x"]))).toEqual(["OVERLOADED"]);
    await one.settle([{ kind: "nack", delivery: held!, delayMs: 1000 }]);

    expect(codesOf(await publish(["x"]))).toEqual(["OVERLOADED"]);
  });

  it("counts bytes as well as messages", async () => {
    const { publish, subscribe } = await opened({ maxBytes: 10, replay: 0, overflow: "reject" });
    await subscribe();
    expect(codesOf(await publish(["a"], { body: new Uint8Array(6) }))).toEqual(["ok"]);
    expect(codesOf(await publish(["b"], { body: new Uint8Array(5) }))).toEqual(["OVERLOADED"]);
    expect(codesOf(await publish(["c"], { body: new Uint8Array(4) }))).toEqual(["ok"]);
  });

  it("takes what nobody subscribed to: it is not kept", async () => {
    const { publish, subscribe } = await opened({ ...full, overflow: "reject" });
    await subscribe();
    await publish(names(3));
    expect(codesOf(await publish(["x"], { channel: "unheard" }))).toEqual(["ok"]);
  });
});

describe("a full broker that blocks", () => {
  it("lets a publish wait for room and stores it as soon as there is some", async () => {
    const { clock, publish, subscribe } = await opened(full);
    const subscription = await subscribe();
    await publish(names(3));
    let answer: string[] | undefined;
    const publishing = publish(["late"]).then((results) => (answer = codesOf(results)));
    await clock.advanceAsync(4999);
    expect(answer).toBeUndefined();
    await drain(subscription, 1);
    await publishing;

    expect(answer).toEqual(["ok"]);
    expect(await drain(subscription)).toEqual(["m1", "m2", "late"]);
    await clock.advanceAsync(5000);
    expect(clock.pending).toBe(0);
  });

  it("gives up on it after the time that was set, and stores it never", async () => {
    const { clock, publish, subscribe } = await opened({ ...full, blockTimeoutMs: 100 });
    const subscription = await subscribe();
    await publish(names(3));
    const publishing = publish(["late"]);
    await clock.advanceAsync(100);
    expect(codesOf(await publishing)).toEqual(["OVERLOADED"]);

    await drain(subscription);
    expect(await take(subscription)).toEqual([]);
  });

  it("refuses at once what could never fit", async () => {
    const { publish, subscribe } = await opened({ maxBytes: 10, replay: 0 });
    await subscribe();
    expect(codesOf(await publish(["m"], { body: new Uint8Array(11) }))).toEqual(["OVERLOADED"]);
  });

  it("keeps the order of calls and of each call, whatever comes in while they wait", async () => {
    const { publish, subscribe } = await opened(full);
    const subscription = await subscribe();
    await publish(names(3));
    const calls = [publish(["a1", "a2", "a3"]), publish(["b1", "b2"])];
    await settlePromises();
    const got: string[] = [];
    while (got.length < 9) {
      got.push(...(await drain(subscription, 2)));
      // One comes in the very moment in which there is room.
      if (got.length === 2) calls.push(publish(["c1"]));
    }
    await Promise.all(calls);

    expect(got).toEqual(["m0", "m1", "m2", "a1", "a2", "a3", "b1", "b2", "c1"]);
  });

  it("lets a small one go on when the large one before it has given up", async () => {
    const { clock, publish, subscribe } = await opened({ maxBytes: 10, replay: 0, blockTimeoutMs: 100 });
    await subscribe();
    await publish(["held"], { body: new Uint8Array(5) });
    const large = publish(["large"], { body: new Uint8Array(9) });
    await clock.advanceAsync(50);
    const small = publish(["small"], { body: new Uint8Array(4) });
    await clock.advanceAsync(50);

    expect([codesOf(await large), codesOf(await small)]).toEqual([["OVERLOADED"], ["ok"]]);
  });

  it("recognises an id that was stored while its twin waited", async () => {
    const { publish, subscribe } = await opened(full);
    const subscription = await subscribe();
    await publish(names(3));
    const twins = [publish(["m"], {}, { dedupe: true }), publish(["m"], {}, { dedupe: true })];
    await settlePromises();
    await drain(subscription);
    const results = (await Promise.all(twins)).flat();

    expect(results).toMatchObject([{ deduplicated: false }, { deduplicated: true }]);
    expect(await drain(subscription)).toEqual(["m"]);
  });

  it("reserves as much as it needs when it is stored, though subscribers came and went meanwhile", async () => {
    const world = await opened({ ...full, blockTimeoutMs: 10 });
    const { clock, publish, subscribe } = world;
    const subscription = await subscribe();
    const leaving = await subscribe("c", { group: null });
    await publish(["m0"]);
    const late = publish(["late"]);
    await settlePromises();
    await leaving.close();
    await late;
    const joining = await subscribe("c", { group: "h" });
    await drain(subscription);
    await publish(["last"]);
    await drain(subscription);
    await drain(joining);
    await clock.advanceAsync(10);

    const room = roomLeft(world);
    await clock.advanceAsync(10);
    expect(await room).toBe(3);
  });

  it("answers that the channel cannot be made any more when others took its place meanwhile", async () => {
    const { broker, publish, subscribe } = await opened({ ...full, maxChannels: 2 });
    const subscription = await subscribe("*");
    await publish(names(3), { channel: "a" });
    const late = publish(["late"], { channel: "b" });
    await settlePromises();
    await broker.admin.remove("b");
    await broker.admin.declare("x");
    await drain(subscription);

    expect(codesOf(await late)).toEqual(["OVERLOADED"]);
  });
});

describe("a full broker that drops the oldest", () => {
  const dropping = { ...full, overflow: "drop-oldest" } as const;

  it("drops from the fullest queue, the least urgent first, the oldest of them, and counts it", async () => {
    const { broker, publish, subscribe } = await opened({ ...dropping, maxMessages: 5 });
    const [c, d] = [await subscribe("c"), await subscribe("d")];
    await publish(["d0"], { channel: "d" });
    await publish(["normal0", "normal1"]);
    await publish(["low"], { priority: 80 });
    await publish(["high"], { priority: 10 });
    expect(codesOf(await publish(["x", "y"]))).toEqual(["ok", "ok"]);

    expect(await drain(c)).toEqual(["high", "normal1", "x", "y"]);
    expect(await drain(d)).toEqual(["d0"]);
    expect((await broker.inspect()).dropped).toBe(2);
  });

  it("drops a message that waits for its key too, but never one that is handed out", async () => {
    const { broker, publish, subscribe } = await opened(dropping);
    const subscription = await subscribe();
    await publish(["k0", "k1", "k2"], { key: "k" });
    const [out] = await take(subscription);
    expect(codesOf(await publish(["k3", "k4"], { key: "k" }))).toEqual(["ok", "ok"]);
    await subscription.settle([{ kind: "ack", delivery: out! }]);

    expect([await drain(subscription), await drain(subscription)]).toEqual([["k3"], ["k4"]]);
    expect((await broker.inspect()).dropped).toBe(2);
  });

  it("drops one that came back before those published after it", async () => {
    const { publish, subscribe } = await opened(dropping);
    const subscription = await subscribe();
    await publish(names(3));
    const held = await take(subscription, 2);
    await subscription.settle(held.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));
    await publish(["x"]);

    expect(await drain(subscription)).toEqual(["m1", "m2", "x"]);
  });

  it("refuses when everything is handed out", async () => {
    const { publish, subscribe } = await opened(dropping);
    const subscription = await subscribe();
    await publish(names(3));
    await take(subscription);

    expect(codesOf(await publish(["x"]))).toEqual(["OVERLOADED"]);
  });
});

describe("dead letters", () => {
  it.each(["block", "reject", "drop-oldest"] as const)(
    "still find their place in a broker that is full of hopeless messages (%s)",
    async (overflow) => {
      const { clock, broker, publish, subscribe } = await opened({ ...full, overflow });
      await broker.admin.declare("dlq.a", { retentionMs: 1000 });
      const subscription = await subscribe();
      await publish(names(3));
      for (const delivery of await take(subscription)) {
        const letter = envelope({ id: delivery.envelope.id, channel: "dlq.a" });
        const writing = broker.publish([letter]);
        await clock.advanceAsync(0);
        expect(codesOf(await writing)).toEqual(["ok"]);
        await subscription.settle([{ kind: "ack", delivery }]);
      }

      expect(await broker.admin.browse("dlq.a", { limit: 10 })).toHaveLength(3);
    },
  );

  it("count against the limits until their time is over, whether anybody looks or not", async () => {
    const { clock, broker, publish, subscribe } = await opened({ ...full, overflow: "reject" });
    await broker.admin.declare("dlq.a", { retentionMs: 1000 });
    await subscribe();
    await publish(names(3), { channel: "dlq.a" });
    expect(codesOf(await publish(["m"]))).toEqual(["OVERLOADED"]);
    await clock.advanceAsync(1000);

    expect(codesOf(await publish(names(3)))).toEqual(["ok", "ok", "ok"]);
  });
});

describe("what is counted", () => {
  it("comes back to nothing when everything is acknowledged, whatever happened before", async () => {
    const step = fc.record({
      action: fc.constantFrom(
        "publish",
        "publish",
        "take",
        "ack",
        "nack",
        "release",
        "delay",
        "clock",
        "purge",
        "join",
        "leave",
        "erase",
      ),
      at: fc.nat(7),
    });
    const options = fc.record({
      overflow: fc.constantFrom<NonNullable<MemoryBrokerOptions["overflow"]>[]>(
        "block",
        "reject",
        "drop-oldest",
      ),
      replay: fc.constantFrom(0, 3),
      ordering: fc.constantFrom("strict" as const, "relaxed" as const),
      retentionMs: fc.constantFrom(undefined, 20),
    });
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.array(step, { maxLength: 60 }),
        async ({ overflow, replay, ordering, retentionMs }, steps) => {
          const world = await opened({ maxMessages: 6, overflow, replay, blockTimeoutMs: 10 });
          const { clock, broker, publish, subscribe } = world;
          const group = await subscribe("c*", { ordering, prefetch: 3 });
          if (retentionMs !== undefined) await broker.admin.declare("c1", { retentionMs });
          const held: Delivery[] = [];
          const broadcasts = [await subscribe("c0", { group: null })];
          const publishing: Promise<unknown>[] = [];
          let count = 0;
          for (const { action, at } of steps) {
            const [delivery] = ["ack", "nack", "release", "delay"].includes(action)
              ? held.splice(at % Math.max(1, held.length), 1)
              : [];
            if (action === "publish") {
              const key = at % 3 === 0 ? undefined : `k${at % 2}`;
              publishing.push(
                publish([`m${count++}`, `m${count++}`], { channel: `c${at % 2}`, priority: at, key }),
              );
            } else if (action === "take") held.push(...(await take(group, at)));
            else if (action === "clock") await clock.advanceAsync(5);
            else if (action === "purge") await broker.admin.purge(`c${at % 2}`);
            else if (action === "erase") await broker.admin.erase(`c${at % 2}`, [String(at)]);
            else if (action === "join") broadcasts.push(await subscribe("#", { group: null }));
            else if (action === "leave") await broadcasts.shift()?.close();
            else if (delivery !== undefined) {
              if (action === "ack") await group.settle([{ kind: "ack", delivery }]);
              else
                await group.settle([
                  {
                    kind: action === "nack" ? "nack" : "release",
                    delivery,
                    delayMs: action === "delay" ? 7 : 0,
                  },
                ]);
            }
          }
          for (const broadcast of broadcasts) await broadcast.close();
          await group.settle(held.map((delivery) => ({ kind: "ack", delivery })));
          await clock.advanceAsync(1000);
          await Promise.all(publishing);
          for (let got = await drain(group); got.length > 0; got = await drain(group)) await settlePromises();
          await clock.advanceAsync(1000);

          const { channels } = await broker.inspect();
          for (const { groups } of channels) expect(groups).toEqual([{ group: "g", lag: 0, unsettled: 0 }]);
          await broker.admin.remove("c1");
          const room = roomLeft(world);
          await clock.advanceAsync(20);
          expect(await room).toBe(6);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("of a broadcast that nobody reads is free again when its subscription closes", async () => {
    const world = await opened({ ...full, overflow: "reject" });
    const deaf = await world.subscribe("c", { group: null });
    await world.publish(names(3));
    const [held] = await take(deaf, 1);
    await deaf.close();
    expect(codesOf(await world.publish(["m"]))).toEqual(["ok"]);
    await deaf.settle([{ kind: "nack", delivery: held!, delayMs: 0 }]);

    expect(await roomLeft(world)).toBe(3);
  });

  it("of a broadcast that waits for its retry when it closes is free again at the end of the wait", async () => {
    const world = await opened({ ...full, overflow: "reject" });
    const leaving = await world.subscribe("c", { group: null });
    await world.publish(["m"]);
    const [delivery] = await take(leaving);
    await leaving.settle([{ kind: "nack", delivery: delivery!, delayMs: 100 }]);
    await leaving.close();
    await world.clock.advanceAsync(100);

    expect(await roomLeft(world)).toBe(3);
  });
});
