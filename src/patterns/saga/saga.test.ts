import { describe, expect, it } from "vitest";
import { altered, mortal } from "../../../test/support/altered-stores.ts";
import { HeraldError } from "../../core/errors.ts";
import type { Stores } from "../../core/store.ts";
import { MessagingService } from "../../service/service.ts";
import { MemoryStores } from "../../stores/memory-stores.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { EventStore } from "../events/event-store.ts";
import { commandStep } from "./command-step.ts";
import { Saga } from "./saga.ts";

const LEASE_MS = 3000;

function make(stores: Stores, clock: FakeClock): Saga {
  return new Saga(stores, { name: "t", clock, leaseMs: LEASE_MS });
}

describe("a saga by the clock", () => {
  it("waits between attempts as its policy says, to the millisecond", async () => {
    const clock = new FakeClock();
    const at: number[] = [];
    const saga = make(new MemoryStores(), clock).addStep(
      "call",
      () => {
        at.push(clock.monotonic());
        throw new Error("busy");
      },
      undefined,
      { retry: { maxAttempts: 4 } },
    );
    const failed = saga.execute({}).catch((error) => error);

    await clock.advanceAsync(10_000);

    expect(at).toEqual([0, 1000, 3000, 7000]);
    expect(await failed).toMatchObject({ failedStep: "call" });
    expect(clock.pending).toBe(0);
  });

  it("keeps the time of the next attempt when its process dies: the other one waits for what is left of it", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    const { stores: first, die } = mortal(stores);
    const at: number[] = [];
    const options = { retry: { maxAttempts: 2, backoff: { initialDelayMs: 20_000 } } };
    const act = (): void => {
      at.push(clock.monotonic());
      if (at.length === 1) throw new Error("busy");
    };
    const dying = make(first, clock).addStep("call", act, undefined, options);
    const died = dying.execute({}, { id: "one" }).catch((error) => error);
    await clock.advanceAsync(100);
    die();
    const other = make(stores, clock).addStep("call", act, undefined, options);
    other.start();

    await clock.advanceAsync(25_000);

    expect(at).toEqual([0, 20_000]);
    expect((await other.get("one"))?.status).toBe("completed");
    expect(await died).toBeInstanceOf(HeraldError);
    await other.stop();
    expect(clock.pending).toBe(0);
  });

  it("is taken over after one lease without a sign of life, and not before", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    const { stores: first, die } = mortal(stores);
    let begun = 0;
    const never = (): Promise<void> => (begun++, new Promise(() => undefined));
    const dying = make(first, clock).addStep("call", never);
    void dying.execute({}, { id: "one" }).catch(() => undefined);
    await clock.advanceAsync(10);
    die();
    const other = make(stores, clock).addStep("call", () => void begun++);
    other.start();

    await clock.advanceAsync(LEASE_MS - 10);
    expect(begun).toBe(1);
    await clock.advanceAsync(LEASE_MS / 3 + 10);

    expect(begun).toBe(2);
    expect((await other.get("one"))?.status).toBe("completed");
    await other.stop();
  });

  it("gives a step up that has ended its process five times", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    let begun = 0;
    for (let life = 0; life < 7; life++) {
      const { stores: own, die } = mortal(stores);
      const saga = make(own, clock)
        .addStep(
          "fine",
          () => undefined,
          () => undefined,
        )
        .addStep("poison", () => {
          begun++;
          die();
          return new Promise(() => undefined);
        });
      if (life === 0) void saga.execute({}, { id: "one" }).catch(() => undefined);
      else saga.start();
      await clock.advanceAsync(3 * LEASE_MS);
    }

    const state = await make(stores, clock).get("one");
    expect(begun).toBe(5);
    expect(state).toMatchObject({ status: "compensated", failedStep: "poison" });
    expect(state?.error?.message).toContain("5 times");
  });

  it("closes an id whose process died before anything was kept, so that it cannot begin later", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    await stores.values.put("sagas.t", "one", "held");
    const saga = make(stores, clock).addStep("call", () => undefined);
    saga.start();

    await clock.advanceAsync(2 * LEASE_MS);

    expect(await saga.list()).toEqual([]);
    expect((await saga.get("one"))?.status).toBe("compensated");
    await expect(
      new EventStore(stores).append("saga.t.one", { type: "SagaStarted" }, { expectedVersion: 0 }),
    ).rejects.toThrow("version 1");
    await saga.stop();
  });

  it("gives itself up when its store has been away for a whole lease", async () => {
    const clock = new FakeClock();
    const { stores, die } = mortal(new MemoryStores());
    let isTold = false;
    const saga = make(stores, clock).addStep("call", (_data, { signal }) => {
      signal.addEventListener("abort", () => (isTold = true));
      die();
      return new Promise(() => undefined);
    });
    const given = saga.execute({}).catch((error) => error);

    await clock.advanceAsync(LEASE_MS - 1);
    expect(isTold).toBe(false);
    await clock.advanceAsync(LEASE_MS);

    expect(isTold).toBe(true);
    expect(await given).toMatchObject({ code: "CONFLICT" });
  });
});

describe("a saga", () => {
  it("does not take a store that fails for a step that failed: what was done is done again or undone by whoever goes on", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    const full = altered(stores, {
      events: {
        append: async (stream, version, events) => {
          if (events[0]?.body.includes('"StepCompleted"'))
            throw new HeraldError("STORAGE_GONE", "The disk is gone.");
          return stores.events.append(stream, version, events);
        },
      },
    });
    let begun = 0;
    const of = (over: Stores): Saga => make(over, clock).addStep("one", () => ({ begun: ++begun }));

    await expect(of(full).execute({}, { id: "one" })).rejects.toMatchObject({ code: "STORAGE_GONE" });

    expect(await of(stores).get("one")).toMatchObject({
      status: "running",
      steps: { one: { status: "running" } },
    });
    const other = of(stores);
    other.start();
    await clock.advanceAsync(LEASE_MS);
    expect(await other.get("one")).toMatchObject({ status: "completed", data: { begun: 2 } });
    await other.stop();
  });

  it("undoes a step too whose result cannot be kept: it has had its effect", async () => {
    const undone: string[] = [];
    const saga = make(new MemoryStores(), new FakeClock())
      .addStep(
        "one",
        () => ({ a: 1 }),
        () => void undone.push("one"),
      )
      .addStep(
        "two",
        () => ({ huge: "x".repeat(2_000_000) }),
        () => void undone.push("two"),
      );

    await expect(saga.execute({})).rejects.toMatchObject({ failedStep: "two", compensated: ["two", "one"] });
    expect(undone).toEqual(["two", "one"]);
  });

  it("stops at once where it only waits for its next attempt, and refuses what comes after", async () => {
    const clock = new FakeClock();
    const retry = { maxAttempts: 2, backoff: { initialDelayMs: 60_000, maxDelayMs: 60_000 } };
    const saga = make(new MemoryStores(), clock).addStep(
      "one",
      () => {
        throw new Error("busy");
      },
      undefined,
      { retry },
    );
    const running = saga.execute({}).catch((error) => error);
    await clock.advanceAsync(10);

    await saga.stop();

    expect(await running).toMatchObject({ code: "CLOSED" });
    await expect(saga.execute({})).rejects.toMatchObject({ code: "CLOSED" });
    expect(clock.pending).toBe(0);
  });

  it("waits no longer than its policy says when the wall clock is set back", async () => {
    const clock = new FakeClock();
    let tries = 0;
    const saga = make(new MemoryStores(), clock).addStep(
      "one",
      () => {
        if (++tries === 1) throw new Error("busy");
      },
      undefined,
      { retry: { maxAttempts: 2 } },
    );
    const running = saga.execute({ a: 1 });
    await clock.advanceAsync(0);
    clock.jumpWall(-3_600_000);

    await clock.advanceAsync(1000);

    expect(await running).toEqual({ a: 1 });
  });

  it("writes an entry once whose answer was lost, and one that was not stored again", async () => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    let writes = 0;
    const flaky = altered(stores, {
      events: {
        async append(...given) {
          writes++;
          if (writes % 3 === 1) throw new HeraldError("NOT_CONNECTED", "There is no connection.");
          const result = await stores.events.append(...given);
          if (writes % 3 === 2) throw new HeraldError("PUBLISH_UNKNOWN", "The answer was lost.");
          return result;
        },
      },
    });
    let begun = 0;
    const saga = make(flaky, clock)
      .addStep("one", () => ({ n: ++begun }))
      .addStep("two", () => ({ m: ++begun }));
    const running = saga.execute({}, { id: "one" });

    await clock.advanceAsync(5000);

    expect(await running).toEqual({ n: 1, m: 2 });
    const types: string[] = [];
    for await (const { type } of new EventStore(stores).read("saga.t.one")) types.push(type);
    expect(types.join(" ")).toBe("SagaStarted StepStarted StepCompleted StepStarted StepCompleted SagaEnded");
  });

  it("does not let a step change the data in place, nor keep what is no JSON", async () => {
    const saga = make(new MemoryStores(), new FakeClock())
      .addStep("one", (data) => {
        data["sneaked"] = true;
        return { at: new Date(0), nothing: undefined };
      })
      .addStep("two", (data) => ({ seen: Object.keys(data) }));

    expect(await saga.execute({ a: 1 })).toEqual({ a: 1, at: "1970-01-01T00:00:00.000Z", seen: ["a", "at"] });
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    await expect(saga.execute(cyclic)).rejects.toMatchObject({ code: "UNSERIALIZABLE" });
  });

  it("refuses names, steps and options that cannot be", () => {
    const stores = new MemoryStores();
    const refused = (run: () => unknown) =>
      expect(run).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    refused(() => new Saga(stores, { name: "with.dots" }));
    refused(() => new Saga(stores, { leaseMs: 1 }));
    refused(() => new Saga(stores).addStep("", () => undefined));
    refused(() => new Saga(stores).addStep("a", 1 as never));
    refused(() => new Saga(stores).addStep("a", () => undefined).addStep("a", () => undefined));
    refused(() => new Saga(stores).addStep("a", () => undefined, undefined, { retry: { maxAttempts: -1 } }));
    expect(() => new Saga({ name: "kafka" })).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });

  it("does steps that are commands to other agents, and undoes them by commands", async () => {
    await using hotel = new MessagingService({ agentId: "hotel", broker: "memory:saga-test" });
    await using office = new MessagingService({ agentId: "office", broker: "memory:saga-test" });
    await hotel.start();
    await office.start();
    const heard: unknown[] = [];
    await hotel.registerCommandHandler("book", (input, message) => {
      heard.push(["book", input, message.metadata.headers?.["x-idempotency-key"]]);
      return { room: 7 };
    });
    await hotel.registerCommandHandler("cancel", (input) => void heard.push(["cancel", input]));
    const saga = new Saga<{ nights: number; room?: number }>(new MemoryStores(), { name: "t" })
      .addParallel([
        commandStep("room", office, {
          agentId: "hotel",
          command: "book",
          compensation: "cancel",
          input: ({ nights, room }) => ({ nights, room: room ?? null }),
          timeoutMs: 5000,
        }),
      ])
      .addStep("pay", ({ room }) => {
        throw new Error(`no money for room ${room}`);
      });

    await expect(saga.execute({ nights: 2 }, { id: "one" })).rejects.toMatchObject({
      message: expect.stringContaining("no money for room 7"),
      compensated: ["room"],
    });

    expect(heard).toEqual([
      ["book", { nights: 2, room: null }, "one:room"],
      ["cancel", { nights: 2, room: 7 }],
    ]);
  });
});
