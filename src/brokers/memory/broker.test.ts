import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { codesOf, drain, idsOf, names, opened, take } from "../../../test/support/memory.ts";
import type { StartFrom } from "../../core/broker.ts";
import { settlePromises } from "../../testing/fake-clock.ts";
import { MemoryBroker } from "./broker.ts";

const refusal = (code: string, field?: string) =>
  expect.objectContaining(
    field === undefined ? { code } : { code, details: expect.objectContaining({ field }) },
  );

describe("a memory broker", () => {
  it("can do everything but leases, and keeps nothing beyond its process", async () => {
    const { capabilities } = await opened();
    const { lease, durability, ...others } = capabilities;
    expect([lease, durability]).toEqual([false, "none"]);
    expect(Object.entries(others).filter(([, ability]) => ability === false)).toEqual([]);
  });

  it("without replay says so, and refuses to start from the past", async () => {
    const { capabilities, subscribe } = await opened({ replay: 0 });
    expect([capabilities.replayByPosition, capabilities.replayByTime]).toEqual([false, false]);
    await expect(subscribe("c", { from: "earliest" })).rejects.toEqual(refusal("UNSUPPORTED", "from"));
  });

  it("is opened once, and does nothing before or after", async () => {
    const broker = new MemoryBroker();
    const spec = { pattern: "c", group: "g", prefetch: 1 };
    await expect(broker.publish([envelope()])).rejects.toEqual(refusal("CLOSED"));
    await expect(broker.subscribe(spec)).rejects.toEqual(refusal("CLOSED"));
    expect((await broker.inspect()).state).toBe("down");
    await broker.open();
    expect((await broker.inspect()).state).toBe("up");
    await expect(broker.open()).rejects.toEqual(refusal("ALREADY_EXISTS"));
    const subscription = await broker.subscribe(spec);

    await broker.close();
    await broker.close();
    expect(broker.isClosed).toBe(true);
    await expect(broker.open()).rejects.toEqual(refusal("CLOSED"));
    await expect(broker.publish([envelope()])).rejects.toEqual(refusal("CLOSED"));
    await expect(subscription.receive(1, 1000)).rejects.toEqual(refusal("CLOSED"));
    expect((await broker.inspect()).state).toBe("down");
  });

  it("ends what waits when it closes, and leaves no timer", async () => {
    const { clock, broker, publish, subscribe } = await opened({ maxMessages: 1, replay: 0 });
    const empty = await subscribe("other");
    await subscribe();
    await publish(["a"]);
    await publish([], {});
    const waiting = empty.receive(1, 60_000);
    const blocked = publish(["b"]);
    await settlePromises();
    await broker.close();

    expect(await waiting).toEqual([]);
    expect(codesOf(await blocked)).toEqual(["CLOSED"]);
    expect(clock.pending).toBe(0);
  });

  it.each(["a b", "", ".", "a..b", "a.#.b", "../x"])("refuses the pattern %j", async (pattern) => {
    const { subscribe } = await opened();
    await expect(subscribe(pattern)).rejects.toEqual(refusal("INVALID_CHANNEL"));
  });

  it.each([0, -1, 1.5, Number.NaN, "5", 5n])(
    "refuses a prefetch that is no whole number of 1 or more (%#)",
    async (prefetch) => {
      const { subscribe } = await opened();
      await expect(subscribe("c", { prefetch: prefetch as number })).rejects.toEqual(
        refusal("INVALID_ARGUMENT", "prefetch"),
      );
    },
  );

  it.each([
    "latest",
    null,
    5,
    {},
    { position: "x" },
    { position: "" },
    { position: "-1" },
    { position: 5 },
    { position: "1".repeat(30) },
    { time: Number.NaN },
    { time: "now" },
  ])("refuses to start from %j", async (from) => {
    const { subscribe } = await opened();
    await expect(subscribe("c", { from: from as StartFrom })).rejects.toEqual(
      refusal("INVALID_ARGUMENT", "from"),
    );
  });

  it.each([
    ["maxMessages", -1],
    ["maxBytes", Number.NaN],
    ["blockTimeoutMs", "5s"],
    ["replay", null],
    ["dedupeWindowMs", 1n],
    ["overflow", "spill"],
  ])("refuses a bad option %s, naming it (%#)", (field, value) => {
    expect(() => new MemoryBroker({ [field]: value })).toThrow(refusal("INVALID_ARGUMENT", field));
  });
});

describe("a publish", () => {
  it("says where each envelope stands and to how many it went", async () => {
    const { publish, subscribe } = await opened();
    const [alone] = await publish(["a"]);
    expect(alone).toMatchObject({ ok: true, matched: 0, deduplicated: false, position: "1" });

    await subscribe();
    await subscribe("c", { group: "h" });
    await subscribe("#", { group: null });
    const [heard] = await publish(["b"]);
    expect(heard).toMatchObject({ ok: true, matched: 3, deduplicated: false, position: "2" });
  });

  it("refuses single envelopes and stores the others", async () => {
    const { broker, subscribe } = await opened({ maxBodyBytes: 2 });
    const subscription = await subscribe("#");
    const results = await broker.publish([
      envelope({ id: "a" }),
      envelope({ channel: "not a channel" }),
      envelope({ body: new Uint8Array(3) }),
      envelope({ id: "b" }),
    ]);

    expect(codesOf(results)).toEqual(["ok", "INVALID_CHANNEL", "MESSAGE_TOO_LARGE", "ok"]);
    expect(await drain(subscription)).toEqual(["a", "b"]);
  });

  it("under dedupe recognises an id within the window, and says where it was stored", async () => {
    const { clock, publish, subscribe } = await opened({ dedupeWindowMs: 1000 });
    const subscription = await subscribe();
    const [first] = await publish(["m"], {}, { dedupe: true });
    clock.advance(999);
    const [again] = await publish(["m"], {}, { dedupe: true });
    expect(again).toMatchObject({ ok: true, deduplicated: true, matched: 0 });
    expect(again?.ok === true && first?.ok === true && again.position === first.position).toBe(true);

    clock.advance(1001);
    expect(await publish(["m"], {}, { dedupe: true })).toMatchObject([{ deduplicated: false }]);
    expect(await drain(subscription)).toEqual(["m", "m"]);
  });

  it("under dedupe recognises an id for a whole window, however long nothing was published", async () => {
    const { clock, publish } = await opened({ dedupeWindowMs: 1000 });
    await publish(["old"], {}, { dedupe: true });
    clock.advance(1999);
    await publish(["m"], {}, { dedupe: true });
    clock.advance(999);

    expect(await publish(["m"], {}, { dedupe: true })).toMatchObject([{ deduplicated: true }]);
  });

  it("without dedupe stores an id as often as it comes", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["m", "m"]);
    await publish(["m"], {}, { dedupe: true });
    expect(await drain(subscription)).toEqual(["m", "m", "m"]);
  });

  it("to more channels than there may be is OVERLOADED for the new ones only", async () => {
    const { broker, publish } = await opened({ maxChannels: 2 });
    const to = (...channels: string[]) => broker.publish(channels.map((channel) => envelope({ channel })));

    expect(codesOf(await to("a", "b", "c", "a"))).toEqual(["ok", "ok", "OVERLOADED", "ok"]);
    await broker.admin.remove("a");
    expect(codesOf(await to("c"))).toEqual(["ok"]);
    expect(codesOf(await publish(["m"], { channel: "a" }))).toEqual(["OVERLOADED"]);
  });
});

describe("a subscription", () => {
  it("hands out deliveries without a lease: who holds one cannot die without the broker", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe();
    await publish(["a"]);
    expect((await take(subscription))[0]).toMatchObject({ leaseMs: null, attempt: 1, failures: [] });
  });

  it("gets at most what it asks for and never holds more than its prefetch", async () => {
    const { publish, subscribe } = await opened();
    const subscription = await subscribe("c", { prefetch: 3 });
    await publish(names(10));

    expect(idsOf(await subscription.receive(2, 0))).toEqual(["m0", "m1"]);
    const [held] = await subscription.receive(100, 0);
    expect(held?.envelope.id).toBe("m2");
    expect(await subscription.receive(100, 0)).toEqual([]);
    await subscription.settle([{ kind: "ack", delivery: held! }]);
    expect(idsOf(await subscription.receive(100, 0))).toEqual(["m3"]);
  });

  it("waits for the first message, at most as long as it said", async () => {
    const { clock, publish, subscribe } = await opened();
    const subscription = await subscribe();
    const first = subscription.receive(10, 1000);
    await publish(["a", "b"]);
    expect(idsOf(await first)).toEqual(["a", "b"]);

    const second = subscription.receive(10, 1000);
    let done = false;
    void second.then(() => (done = true));
    await clock.advanceAsync(999);
    expect(done).toBe(false);
    await clock.advanceAsync(1);
    expect(await second).toEqual([]);
  });

  it("waits without end when it says so, for room in its prefetch too", async () => {
    const { clock, publish, subscribe } = await opened();
    const subscription = await subscribe("c", { prefetch: 1 });
    await publish(["a", "b"]);
    const [a] = await take(subscription);
    const next = subscription.receive(1, Infinity);
    await clock.advanceAsync(1e9);
    await subscription.settle([{ kind: "ack", delivery: a! }]);

    expect(idsOf(await next)).toEqual(["b"]);
    expect(clock.pending).toBe(0);
  });

  it("is asked by one caller at a time", async () => {
    const { subscribe } = await opened();
    const subscription = await subscribe();
    const waiting = subscription.receive(1, 1000);
    await expect(subscription.receive(1, 0)).rejects.toEqual(refusal("INVALID_ARGUMENT"));
    await subscription.close();
    expect(await waiting).toEqual([]);
  });

  it("leaves the settlements of others alone, and what is no delivery of this broker", async () => {
    const { publish, subscribe } = await opened();
    const [one, two] = [await subscribe("c", { prefetch: 1 }), await subscribe("c", { prefetch: 1 })];
    await publish(["a"]);
    const [a] = await take(one);
    await two.settle([{ kind: "nack", delivery: a!, delayMs: 0 }]);
    await two.settle([{ kind: "ack", delivery: { ...a!, receipt: "forged" } }]);
    await one.settle([{ kind: "extend", delivery: a!, leaseMs: 1000 }]);

    expect(await take(two)).toEqual([]);
  });

  it("shares with the members of its group, one waiting after the other", async () => {
    const { publish, subscribe } = await opened();
    const members = [await subscribe(), await subscribe(), await subscribe()];
    const got = members.map((member) => member.receive(1, 1000));
    await publish(["a", "b", "c"]);

    expect((await Promise.all(got)).map(idsOf)).toEqual([["a"], ["b"], ["c"]]);
  });

  it("costs no timer of its own: ten thousand that wait share one", async () => {
    const { clock, publish, subscribe } = await opened();
    const waits: Promise<readonly unknown[]>[] = [];
    for (let i = 0; i < 10_000; i++) {
      const subscription = await subscribe(`c${i}`);
      waits.push(subscription.receive(1, 30_000));
      clock.advance(0.001);
    }
    expect(clock.pending).toBe(1);
    await publish(["a"], { channel: "c7" });
    expect(await waits[7]).toHaveLength(1);

    await clock.advanceAsync(30_000);
    expect((await Promise.all(waits)).filter((got) => got.length > 0)).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});
