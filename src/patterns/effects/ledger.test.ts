import { describe, expect, it } from "vitest";
import { altered } from "../../../test/support/altered-stores.ts";
import type { Effect, EffectCall } from "../../core/effect.ts";
import { HeraldError } from "../../core/errors.ts";
import { silentLogger } from "../../core/logger.ts";
import type { KeyValueStore } from "../../core/store.ts";
import { MemoryStores } from "../../stores/memory-stores.ts";
import { FakeClock, settlePromises } from "../../testing/fake-clock.ts";
import { Forgetting } from "./forgetting.ts";
import { Ledger } from "./ledger.ts";

const LEASE_MS = 1000;
const DAY_MS = 86_400_000;
const never = new AbortController().signal;

/** A process of agent `shop`, or of another, over values that others have too. */
function process(values: KeyValueStore, clock: FakeClock, agentId = "shop") {
  const ledger = new Ledger({
    agentId,
    values,
    clock,
    logger: silentLogger,
    retentionMs: DAY_MS,
    leaseMs: LEASE_MS,
  });
  return <T>(effect: Effect<T>, key = "7", signal = never) => ledger.run("charge", key, effect, signal);
}

function world() {
  const clock = new FakeClock();
  const stores = new MemoryStores();
  return { clock, stores, values: stores.values, here: process(stores.values, clock) };
}

/** A call that ends when the test says so. */
function slow<T>() {
  const calls: EffectCall[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { calls, resolve, reject, effect: (call: EffectCall) => (calls.push(call), promise) };
}

describe("a call under one name and key", () => {
  it("is made once, and gives its recorded result afterwards, in every process", async () => {
    const { values, clock, here } = world();
    let calls = 0;
    const charge = () => ({ receipt: ++calls });

    expect(await here(charge)).toEqual({ receipt: 1 });
    expect(await here(charge)).toEqual({ receipt: 1 });
    expect(await process(values, clock)(charge)).toEqual({ receipt: 1 });
    expect(calls).toBe(1);
  });

  it("is another call under another key, and for another agent", async () => {
    const { values, clock, here } = world();
    let calls = 0;
    const charge = () => ++calls;

    const results = [
      await here(charge),
      await here(charge, "8"),
      await process(values, clock, "bank")(charge),
    ];

    expect(results).toEqual([1, 2, 3]);
  });

  it("has one idempotency key that no other call has", async () => {
    const { values, clock, here } = world();
    const keys: string[] = [];
    const failing = ({ idempotencyKey }: EffectCall) => {
      keys.push(idempotencyKey);
      throw new Error("refused");
    };
    for (const run of [here, here, process(values, clock, "bank")])
      await expect(run(failing)).rejects.toThrow("refused");
    await expect(here(failing, "8")).rejects.toThrow("refused");

    expect(keys[1]).toBe(keys[0]);
    expect(new Set(keys).size).toBe(3);
    expect(keys[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("that gave back nothing gives back nothing again", async () => {
    const { here } = world();
    let calls = 0;

    expect(await here(() => void calls++)).toBeUndefined();
    expect(await here(() => void calls++)).toBeUndefined();
    expect(calls).toBe(1);
  });
});

describe("a call that another process is at", () => {
  it("is waited for, and its result is given to both", async () => {
    const { values, clock, here } = world();
    const first = slow<string>();
    let second = 0;
    const results = Promise.all([here(first.effect), process(values, clock)(() => void second++)]);
    // It renews its claim for longer than a lease.
    await clock.advanceAsync(5 * LEASE_MS);
    first.resolve("paid");
    await clock.advanceAsync(LEASE_MS);

    expect(await results).toEqual(["paid", "paid"]);
    expect(second).toBe(0);
  });

  it("is taken over when that one gives no sign of life for a lease, and says that it may have been made", async () => {
    const { values, clock } = world();
    const dead = slow<string>();
    let isAlive = true;
    const dying = altered(
      { values, events: new MemoryStores().events },
      {
        values: { put: (...given) => (isAlive ? values.put(...given) : new Promise(() => {})) },
      },
    );
    void process(dying.values, clock)(dead.effect);
    await settlePromises();
    isAlive = false;

    const attempts: number[] = [];
    const result = process(values, clock)(({ attempt }) => (attempts.push(attempt), "paid"));
    await clock.advanceAsync(LEASE_MS / 2);
    expect(attempts).toEqual([]);
    await clock.advanceAsync(2 * LEASE_MS);

    expect(await result).toBe("paid");
    expect(attempts).toEqual([2]);
  });

  it("and that wakes after it was taken over gives the result of its successor, and records nothing", async () => {
    const { values, clock } = world();
    const sleeper = slow<string>();
    let isAwake = true;
    const sleeping = altered(
      { values, events: new MemoryStores().events },
      {
        values: {
          put: (...given) =>
            isAwake ? values.put(...given) : Promise.reject(new HeraldError("NOT_CONNECTED", "Asleep.")),
        },
      },
    );
    const late = process(sleeping.values, clock)(sleeper.effect);
    await settlePromises();
    isAwake = false;
    const successor = process(values, clock)(() => "by the successor");
    await clock.advanceAsync(3 * LEASE_MS);
    expect(await successor).toBe("by the successor");

    isAwake = true;
    expect(sleeper.calls[0]?.signal.aborted).toBe(true);
    sleeper.resolve("by the sleeper");
    await clock.advanceAsync(LEASE_MS);

    expect(await late).toBe("by the successor");
  });

  it("is not waited for any longer when the handler's time is up", async () => {
    const { values, clock, here } = world();
    const waiting = new AbortController();
    void here(slow<string>().effect);
    await settlePromises();
    let calls = 0;
    const result = process(values, clock)(() => void calls++, "7", waiting.signal);
    const rejected = expect(result).rejects.toMatchObject({ code: "HANDLER_TIMEOUT" });
    await clock.advanceAsync(LEASE_MS);
    waiting.abort(new HeraldError("HANDLER_TIMEOUT", "Over."));

    await rejected;
    expect(calls).toBe(0);
  });
});

describe("a call that throws", () => {
  it("rejects with what it threw, and is made again at once with the next number", async () => {
    const { values, clock, here } = world();
    const attempts: number[] = [];
    const failing = ({ attempt }: EffectCall) => {
      attempts.push(attempt);
      if (attempt < 3) throw new Error("refused");
      return "paid";
    };

    await expect(here(failing)).rejects.toThrow("refused");
    await expect(process(values, clock)(failing)).rejects.toThrow("refused");
    expect(await here(failing)).toBe("paid");
    expect(attempts).toEqual([1, 2, 3]);
  });
});

describe("a call whose result cannot be kept", () => {
  it.each([
    ["no JSON", () => 1n, "UNSERIALIZABLE"],
    ["too large", () => "x".repeat(2 ** 20), "MESSAGE_TOO_LARGE"],
  ])("because it is %s rejects, and is not made again for that", async (_why, result, code) => {
    const { here } = world();
    let calls = 0;
    const call = () => (calls++, result());

    await expect(here(call)).rejects.toMatchObject({ code });
    await expect(here(call)).rejects.toMatchObject({ code, message: expect.stringContaining("took place") });
    expect(calls).toBe(1);
  });
});

describe("a store that is away", () => {
  it("when the result is to be recorded is asked again, and the call is not made twice", async () => {
    const { values, clock, stores } = world();
    let refusals = 3;
    const shaky = altered(stores, {
      values: {
        put: (...given) =>
          given[2].includes('"done"') && refusals-- > 0
            ? Promise.reject(new HeraldError("NOT_CONNECTED", "Away."))
            : values.put(...given),
      },
    });
    let calls = 0;
    const result = process(shaky.values, clock)(() => ++calls);
    await clock.advanceAsync(LEASE_MS / 2);

    expect(await result).toBe(1);
    expect(await process(values, clock)(() => ++calls)).toBe(1);
  });

  it("for as long as a lease rejects, and says so", async () => {
    const { values, clock, stores } = world();
    const shaky = altered(stores, {
      values: {
        put: (...given) =>
          given[2].includes('"done"')
            ? Promise.reject(new HeraldError("NOT_CONNECTED", "Away."))
            : values.put(...given),
      },
    });
    const result = expect(process(shaky.values, clock)(() => 1)).rejects.toMatchObject({
      code: "NOT_CONNECTED",
    });
    await clock.advanceAsync(2 * LEASE_MS);

    await result;
  });

  it("when a call is to be noted leaves no claim behind", async () => {
    const { values, clock, stores, here } = world();
    const shaky = altered(stores, {
      values: {
        put: (...given) =>
          given[0] === "effects.shop"
            ? values.put(...given)
            : Promise.reject(new HeraldError("NOT_CONNECTED", "Away.")),
      },
    });
    await expect(process(shaky.values, clock)(() => 1)).rejects.toMatchObject({ code: "NOT_CONNECTED" });

    expect(await values.keys("effects.shop")).toEqual([]);
    expect(await here(({ attempt }) => attempt)).toBe(1);
  });
});

describe("what cannot be an effect", () => {
  it.each([
    ["name", "no name", "7"],
    ["name", "", "7"],
    ["key", "charge", ""],
    ["key", "charge", "a\nb"],
    ["key", "charge", "x".repeat(1025)],
  ])("is refused, naming the %s", async (field, name, key) => {
    const { values, clock } = world();
    const parts = { agentId: "shop", values, clock, logger: silentLogger };
    const ledger = new Ledger({ ...parts, retentionMs: DAY_MS, leaseMs: LEASE_MS });

    await expect(ledger.run(name, key, () => 1, never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field },
    });
    await expect(ledger.run("charge", "7", 1 as never, never)).rejects.toMatchObject({
      details: { field: "effect" },
    });
  });
});

describe("records", () => {
  it("are gone once their time is up, and not before", async () => {
    const { values, clock, here } = world();
    for (const key of ["1", "2"]) await here(() => key, key);
    clock.advance(DAY_MS / 2);
    await here(() => "3", "3");
    clock.advance(DAY_MS / 2 - 1);
    const parts = { values, space: "effects.shop", retentionMs: DAY_MS, clock, logger: silentLogger };
    expect(await new Forgetting(parts).forget()).toBe(0);

    clock.advance(3_600_001);
    expect(await new Forgetting(parts).forget()).toBe(2);
    expect(await values.keys("effects.shop")).toEqual(["charge 3"]);
    expect(await values.keys("effects.shop.hours")).toHaveLength(1);
  });

  it("of a call that was made again later stay", async () => {
    const { values, clock, here } = world();
    const failing = ({ attempt }: EffectCall) => {
      if (attempt === 1) throw new Error("refused");
      return "paid";
    };
    await expect(here(failing)).rejects.toThrow("refused");
    clock.advance(DAY_MS);
    expect(await here(failing)).toBe("paid");
    clock.advance(3_600_000);
    await here(() => 1, "look");
    await settlePromises();

    expect(await values.keys("effects.shop")).toEqual(["charge 7", "charge look"]);
  });

  it("that cannot be removed are told, and cost no call", async () => {
    const { values, clock, stores } = world();
    const warned: string[] = [];
    const shaky = altered(stores, {
      values: { keys: () => Promise.reject(new HeraldError("NOT_CONNECTED", "Away.")) },
    });
    const logger = { ...silentLogger, warn: (_fields: object, message: string) => void warned.push(message) };
    const parts = { agentId: "shop", values: shaky.values, clock, logger };
    const ledger = new Ledger({ ...parts, retentionMs: DAY_MS, leaseMs: LEASE_MS });

    expect(await ledger.run("charge", "7", () => 1, never)).toBe(1);
    await settlePromises();
    expect(warned).toHaveLength(1);
    expect(await values.keys("effects.shop")).toEqual(["charge 7"]);
  });
});
