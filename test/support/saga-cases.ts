import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RejectError } from "../../src/core/errors.ts";
import type { Stores } from "../../src/core/store.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { Saga, type SagaOptions } from "../../src/patterns/saga/saga.ts";
import type { SagaError } from "../../src/patterns/saga/saga-error.ts";
import { altered } from "./altered-stores.ts";
import type { StoresHarness, StoresPlace } from "./stores.ts";

interface Trip {
  readonly who: string;
  readonly flight?: string;
  readonly room?: number;
  readonly car?: string;
}

const failing = (message: string) => (): never => {
  throw new Error(message);
};

/** What a saga does, over whatever keeps it. */
export function sagaCases(harness: StoresHarness): void {
  describe(`a saga over ${harness.name}`, () => {
    let place: StoresPlace;
    let stores: Stores;
    let log: string[];
    const opened: Saga<Trip>[] = [];

    beforeAll(() => harness.start(), 60_000);
    afterAll(() => harness.stop());
    beforeEach(async () => {
      place = harness.place();
      stores = await place.open();
      log = [];
    });
    afterEach(async () => {
      for (const saga of opened.splice(0)) await saga.stop();
      await place.close();
    });

    const saga = (options: SagaOptions = {}, over: Stores = stores): Saga<Trip> => {
      const made = new Saga<Trip>(over, { name: "trip", leaseMs: 300, ...options });
      opened.push(made);
      return made;
    };
    const does =
      (text: string, result?: object) =>
      (data: Trip): object | undefined => {
        log.push(`${text} ${Object.keys(data).join("+")}`);
        return result;
      };

    it("does its steps in order, each with the results of those before it, and gives back the data", async () => {
      const trip = saga()
        .addStep("flight", async (data) => does("flight", { flight: "LH1" })(data), does("no flight"))
        .addStep("room", does("room", { room: 7 }), does("no room"))
        .addStep("mail", does("mail"));

      const result = await trip.execute({ who: "ada" }, { id: "one" });

      expect(result).toEqual({ who: "ada", flight: "LH1", room: 7 });
      expect(log).toEqual(["flight who", "room who+flight", "mail who+flight+room"]);
      expect(await trip.get("one")).toMatchObject({ status: "completed", data: result });
      expect(await trip.list()).toEqual([]);
      const types: string[] = [];
      for await (const { type } of new EventStore(stores).read("saga.trip.one")) types.push(type);
      expect(types.join(" ")).toBe(`SagaStarted ${"StepStarted StepCompleted ".repeat(3)}SagaEnded`);
    });

    it("undoes what was done in reverse order when a step fails, and says which step and what was undone", async () => {
      const trip = saga()
        .addStep("flight", does("flight", { flight: "LH1" }), does("no flight"))
        .addStep("mail", does("mail"))
        .addStep("room", does("room", { room: 7 }), does("no room"))
        .addStep("car", failing("no cars left"), does("no car"));

      const error = (await trip
        .execute({ who: "ada" }, { id: "one" })
        .catch((thrown) => thrown)) as SagaError;

      expect(error).toMatchObject({
        name: "SagaError",
        code: "SAGA_FAILED",
        sagaId: "one",
        failedStep: "car",
        compensated: ["room", "flight"],
        compensationErrors: [],
      });
      expect(error.message).toContain("no cars left");
      expect(log.slice(3)).toEqual(["no room who+flight+room", "no flight who+flight+room"]);
      expect(await trip.get("one")).toMatchObject({ status: "compensated", failedStep: "car" });
    });

    it("keeps the errors of compensations, goes on undoing the rest, and undoes what is left when it is retried", async () => {
      let isDown = true;
      const trip = saga()
        .addStep("flight", does("flight"), does("no flight"))
        .addStep(
          "room",
          does("room"),
          () => (isDown ? failing("hotel is down")() : does("no room")({ who: "" })),
          {
            compensationRetry: { maxAttempts: 2, backoff: { initialDelayMs: 1 } },
          },
        )
        .addStep("car", failing("no cars left"));

      const error = await trip.execute({ who: "ada" }, { id: "one" }).catch((thrown) => thrown);

      expect(error).toMatchObject({
        compensated: ["flight"],
        compensationErrors: [{ step: "room", code: "HANDLER_FAILED", message: "hotel is down" }],
      });
      expect(await trip.list()).toMatchObject([
        { id: "one", status: "failed", steps: { room: { failures: 2 } } },
      ]);
      isDown = false;
      const again = await trip.retry("one").catch((thrown) => thrown);
      expect(again).toMatchObject({ compensated: ["room", "flight"], compensationErrors: [] });
      expect(log.filter((line) => line.startsWith("no"))).toEqual(["no flight who", "no room who"]);
      expect(await trip.list()).toEqual([]);
    });

    it("waits for a person where that is asked for: retry, skip with a reason, compensate", async () => {
      let isDown = true;
      const trip = saga({ onFailure: "wait" })
        .addStep("flight", does("flight", { flight: "LH1" }), does("no flight"))
        .addStep("room", () => (isDown ? failing("hotel is down")() : { room: 9 }))
        .addStep("car", does("car", { car: "red" }));
      for (const id of ["retried", "skipped", "undone"])
        await expect(trip.execute({ who: "ada" }, { id })).rejects.toMatchObject({ code: "SAGA_STUCK" });

      expect((await trip.list()).map(({ id, status, failedStep }) => [id, status, failedStep])).toEqual([
        ["retried", "stuck", "room"],
        ["skipped", "stuck", "room"],
        ["undone", "stuck", "room"],
      ]);
      await expect(trip.retry("retried")).rejects.toMatchObject({ code: "SAGA_STUCK" });
      isDown = false;

      expect(await trip.retry("retried")).toEqual({ who: "ada", flight: "LH1", room: 9, car: "red" });
      expect(await trip.skip("skipped", "sleeps at a friend's")).toEqual({
        who: "ada",
        flight: "LH1",
        car: "red",
      });
      await expect(trip.compensate("undone")).rejects.toMatchObject({
        failedStep: "room",
        compensated: ["flight"],
      });
      expect(await trip.get("skipped")).toMatchObject({
        status: "completed",
        steps: { room: { status: "skipped", reason: "sleeps at a friend's" } },
      });
      expect(await trip.list()).toEqual([]);
      await expect(trip.skip("skipped", " ")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await expect(trip.retry("skipped")).rejects.toMatchObject({ code: "CONFLICT" });
      await expect(trip.retry("nobody")).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    it("undoes a completed saga when it is asked to", async () => {
      const trip = saga().addStep("flight", does("flight"), does("no flight"));
      await trip.execute({ who: "ada" }, { id: "one" });

      await expect(trip.compensate("one")).rejects.toMatchObject({
        failedStep: undefined,
        compensated: ["flight"],
      });
      expect((await trip.get("one"))?.status).toBe("compensated");
    });

    it("tries a step again by its policy, and not again what was rejected", async () => {
      let tries = 0;
      let rejections = 0;
      const attempts: number[] = [];
      const retry = { maxAttempts: 3, backoff: { initialDelayMs: 2 } };
      const trip = saga()
        .addStep(
          "flight",
          (_data, { attempt, key }) => {
            attempts.push(attempt);
            expect(key).toBe("one:flight");
            if (++tries < 3) throw new Error("busy");
            return { flight: "LH1" };
          },
          undefined,
          { retry },
        )
        .addStep(
          "room",
          () => {
            rejections++;
            throw new RejectError("this hotel never takes dogs");
          },
          undefined,
          { retry },
        );

      await expect(trip.execute({ who: "ada" }, { id: "one" })).rejects.toMatchObject({ failedStep: "room" });

      expect(attempts).toEqual([1, 2, 3]);
      expect(rejections).toBe(1);
    });

    it("does parallel steps at once, and undoes those that were done when one of them fails", async () => {
      const begun: string[] = [];
      let release = (): void => {};
      const both = new Promise<void>((resolve) => (release = resolve));
      const together = (name: string) => async (data: Trip) => {
        begun.push(`${name} ${Object.keys(data).join("+")}`);
        if (begun.length === 2) release();
        await both;
        return { [name]: name };
      };
      const undone: string[] = [];
      const make = (car: (data: Trip) => unknown) =>
        saga()
          .addStep("first", () => ({ flight: "LH1" }))
          .addParallel([
            { name: "room", action: together("room"), compensation: () => void undone.push("room") },
            { name: "car", action: car, compensation: () => void undone.push("car") },
          ])
          .addStep("last", does("last"));

      expect(await make(together("car")).execute({ who: "ada" })).toEqual({
        who: "ada",
        flight: "LH1",
        room: "room",
        car: "car",
      });
      expect(begun.toSorted()).toEqual(["car who+flight", "room who+flight"]);
      begun.length = 0;
      const failed = make(async (data) => {
        await together("car")(data);
        throw new Error("no cars left");
      });
      await expect(failed.execute({ who: "ada" })).rejects.toMatchObject({
        failedStep: "car",
        compensated: ["room"],
      });
      expect(undone).toEqual(["room"]);
    });

    it("ends an attempt whose time is over, and tells the step by its signal", async () => {
      let isTold = false;
      const trip = saga().addStep(
        "flight",
        (_data, { signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => resolve((isTold = true)));
          }),
        undefined,
        { timeoutMs: 20 },
      );

      await expect(trip.execute({ who: "ada" }, { id: "one" })).rejects.toMatchObject({
        failedStep: "flight",
      });

      expect(isTold).toBe(true);
      expect((await trip.get("one"))?.error?.code).toBe("HANDLER_TIMEOUT");
    });

    it("refuses an id that is in use, running or ended", async () => {
      let release = (): void => {};
      const trip = saga().addStep("flight", () => new Promise<void>((resolve) => (release = resolve)));
      const other = saga({}, await place.open()).addStep("flight", () => undefined);
      const running = trip.execute({ who: "ada" }, { id: "one" });
      await expect.poll(async () => (await trip.get("one"))?.steps["flight"]?.status).toBe("running");

      await expect(other.execute({ who: "bob" }, { id: "one" })).rejects.toMatchObject({
        code: "ALREADY_EXISTS",
      });
      await expect(trip.execute({ who: "bob" }, { id: "one" })).rejects.toMatchObject({
        code: "ALREADY_EXISTS",
      });
      release();
      await running;
      await expect(other.execute({ who: "bob" }, { id: "one" })).rejects.toMatchObject({
        code: "ALREADY_EXISTS",
      });
      expect(await trip.list()).toEqual([]);
    });

    it("is gone on with by another process when this one stops, and by one at a time", async () => {
      let release = (): void => {};
      const slow = saga()
        .addStep(
          "flight",
          () => new Promise<object>((resolve) => (release = () => resolve({ flight: "LH1" }))),
        )
        .addStep("room", does("room", { room: 1 }));
      const running = slow.execute({ who: "ada" }, { id: "one" }).catch((thrown) => thrown);
      await expect.poll(async () => (await slow.get("one"))?.steps["flight"]?.status).toBe("running");
      const stopping = slow.stop();
      release();
      await stopping;
      expect(await running).toMatchObject({ code: "CLOSED" });

      const others = await Promise.all(
        [1, 2, 3].map(async () =>
          saga({}, await place.open())
            .addStep("flight", failing("it is done already"))
            .addStep("room", does("room", { room: 2 })),
        ),
      );
      for (const other of others) other.start();

      await expect.poll(async () => (await slow.get("one"))?.status).toBe("completed");
      expect((await slow.get("one"))?.data).toEqual({ who: "ada", flight: "LH1", room: 2 });
      expect(log).toEqual(["room who+flight"]);
    });

    it("is not taken from a process that takes its time and lives", async () => {
      let release = (): void => {};
      const slow = saga().addStep("flight", () => {
        log.push("flight");
        return new Promise<void>((resolve) => (release = resolve));
      });
      const running = slow.execute({ who: "ada" }, { id: "one" });
      const other = saga({}, await place.open()).addStep("flight", does("flight of the other"));
      other.start();
      const startedAt = performance.now();
      // A look at the entry every tenth of a lease, over four leases.
      await expect.poll(() => performance.now() - startedAt, { interval: 30 }).toBeGreaterThan(1200);
      release();

      await running;

      expect(log).toEqual(["flight"]);
    });

    it("does not let a process that slept longer than its lease write anything when it wakes", async () => {
      // The first process renews nothing, as one that is stopped: its store refuses to hear of it.
      let isAsleep = false;
      const asleep = altered(stores, {
        values: {
          put: async (space, key, value, ifToken) =>
            isAsleep ? (ifToken ?? undefined) : stores.values.put(space, key, value, ifToken),
        },
      });
      let wake = (): void => {};
      const sleeper = saga({}, asleep)
        .addStep("flight", () => {
          isAsleep = true;
          return new Promise<object>((resolve) => (wake = () => resolve({ flight: "from the sleeper" })));
        })
        .addStep("room", does("room of the sleeper"));
      const slept = sleeper.execute({ who: "ada" }, { id: "one" }).catch((thrown) => thrown);
      const other = saga({}, await place.open())
        .addStep("flight", () => ({ flight: "from the other" }))
        .addStep("room", does("room of the other", { room: 2 }));
      other.start();
      await expect.poll(async () => (await other.get("one"))?.status).toBe("completed");

      wake();

      expect(await slept).toMatchObject({ code: "CONFLICT", retryable: false });
      expect((await other.get("one"))?.data).toEqual({ who: "ada", flight: "from the other", room: 2 });
      expect(log).toEqual(["room of the other who+flight"]);
      expect(await new EventStore(stores).verify("saga.trip.one")).toMatchObject({ ok: true });
    });

    it("leaves a saga to a program that has its steps", async () => {
      const before = saga({ onFailure: "wait" }).addStep("flight", failing("no"));
      await before.execute({ who: "ada" }, { id: "one" }).catch(() => undefined);
      const after = saga({ onFailure: "wait" }).addStep("train", does("train"));

      await expect(after.retry("one")).rejects.toMatchObject({ code: "UNSUPPORTED" });
      expect(log).toEqual([]);
    });
  });
}
