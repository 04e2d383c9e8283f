import fc from "fast-check";
import { expect, it } from "vitest";
import type { Stores } from "../../src/core/store.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import type { SagaState } from "../../src/patterns/saga/model.ts";
import { Saga } from "../../src/patterns/saga/saga.ts";
import { MemoryStores } from "../../src/stores/memory-stores.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { mortal } from "../support/altered-stores.ts";

const LEASE_MS = 3000;

/** How a step behaves. `flaky` fails the first time it is ever run. */
interface StepPlan {
  readonly name: string;
  readonly action: "good" | "flaky" | "bad";
  readonly undo: "good" | "flaky" | "bad" | "none";
}

/** Stages of steps, and after how many appends each process dies; the last one lives. */
interface Plan {
  readonly stages: readonly (readonly StepPlan[])[];
  readonly lives: readonly number[];
}

/** What was done in the world outside, by key, in the order in which it was first done. */
class World {
  readonly done = new Set<string>();
  readonly #tried = new Set<string>();

  act(how: StepPlan["undo"], key: string): object {
    const isFirst = !this.#tried.has(key);
    this.#tried.add(key);
    if (how === "bad" || (how === "flaky" && isFirst)) throw new Error(`${key} failed`);
    this.done.add(key);
    return { [key.split(":")[1] as string]: true };
  }
}

/** What a saga must come to, whoever dies meanwhile. */
function expected({ stages }: Plan): Pick<SagaState<unknown>, "status"> & {
  done: string[];
  undone: string[];
  failedStep: string | undefined;
} {
  const at = stages.findIndex((steps) => steps.some(({ action }) => action === "bad"));
  const begun = at < 0 ? stages : stages.slice(0, at + 1);
  const steps = begun.flat();
  const done = steps.filter(({ action }) => action !== "bad");
  const failedStep = at < 0 ? undefined : steps.find(({ action }) => action === "bad")?.name;
  if (at < 0)
    return { status: "completed", done: done.map(({ name }) => `s:${name}`), undone: [], failedStep };
  const undone = done.toReversed().filter(({ undo }) => undo === "good" || undo === "flaky");
  return {
    status: done.some(({ undo }) => undo === "bad") ? "failed" : "compensated",
    done: done.map(({ name }) => `s:${name}`),
    undone: undone.map(({ name }) => `s:${name}:undo`),
    failedStep,
  };
}

function sagaOf({ stages }: Plan, world: World, stores: Stores, clock: FakeClock): Saga {
  const saga = new Saga(stores, { name: "m", clock, leaseMs: LEASE_MS });
  const retry = { maxAttempts: 3, backoff: { initialDelayMs: 500 } };
  for (const steps of stages)
    saga.addParallel(
      steps.map(({ name, action, undo }) => ({
        name,
        retry,
        action: (_data, { key }) => world.act(action, key),
        compensation: undo === "none" ? undefined : (_data, { key }) => world.act(undo, key),
      })),
    );
  return saga;
}

/** Lets time go by until the saga has ended, or its process is dead. */
async function goOn(clock: FakeClock, isOver: () => boolean): Promise<void> {
  for (let turn = 0; turn < 40 && !isOver(); turn++) await clock.advanceAsync(500);
}

const name = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1, maxLength: 4 });
const behaviour = fc.record({
  action: fc.constantFrom<StepPlan["action"]>("good", "good", "good", "flaky", "bad"),
  undo: fc.constantFrom<StepPlan["undo"]>("good", "good", "flaky", "bad", "none"),
  joins: fc.boolean(),
});
const plan = fc
  .tuple(
    name,
    fc.array(behaviour, { minLength: 4, maxLength: 4 }),
    fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
  )
  .map(([names, behaviours, lives]): Plan => {
    const stages: StepPlan[][] = [];
    for (const [at, step] of names.entries()) {
      const { joins, ...how } = behaviours[at] as (typeof behaviours)[number];
      if (joins && stages.length > 0) stages.at(-1)?.push({ name: step, ...how });
      else stages.push([{ name: step, ...how }]);
    }
    return { stages, lives };
  });

it("comes to what its steps say, each effect once and undone in reverse, however many processes die at whatever point", async () => {
  const property = fc.asyncProperty(plan, async (chosen) => {
    const clock = new FakeClock();
    const stores = new MemoryStores();
    const world = new World();
    const first = sagaOf(chosen, world, mortal(stores, chosen.lives[0] ?? Infinity).stores, clock);
    let isOver = false;
    const over = (): void => void (isOver = true);
    first.execute({}, { id: "s" }).then(over, over);
    await goOn(clock, () => isOver);
    expect(isOver).toBe(true);

    for (const life of [...chosen.lives.slice(1), Infinity]) {
      const next = sagaOf(chosen, world, mortal(stores, life).stores, clock);
      next.start();
      await goOn(clock, () => false);
      await next.stop();
    }

    const { status, done, undone, failedStep } = expected(chosen);
    const state = await sagaOf(chosen, world, stores, clock).get("s");
    expect(state).toMatchObject({ status, ...(failedStep === undefined ? {} : { failedStep }) });
    expect([...world.done].filter((key) => !key.endsWith(":undo")).toSorted()).toEqual(done.toSorted());
    expect([...world.done].filter((key) => key.endsWith(":undo"))).toEqual(undone);
    if (status === "completed")
      expect(state?.data).toEqual(Object.fromEntries(done.map((key) => [key.slice(2), true])));
    expect(await stores.values.keys("sagas.m")).toEqual(status === "failed" ? ["s"] : []);
    expect(await new EventStore(stores).verify("saga.m.s")).toMatchObject({ ok: true });
  });

  await fc.assert(property, { numRuns: 100 });
});
