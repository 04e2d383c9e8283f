import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect } from "vitest";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { booking, storesAt, type ChildPlace } from "./child-stores.ts";
import { runChild } from "./killed.ts";

/** Where a booking's process is killed. */
export interface KillPoint {
  readonly at: number;
  readonly side: "before" | "after";
  readonly isDoomed: boolean;
}

const STEPS = ["flight", "room", "car"];
/** Writes of a booking of three steps: its beginning, two a step, its end. Of one that is undone: the step that fails, the turn, two a compensation. */
const WRITES = { done: 2 * STEPS.length + 2, undone: 4 * STEPS.length + 5 };

/** Between every two writes, right behind the first of them (the step is not done yet) and right before the second (it is). */
export function killPoints(isDoomed: boolean): KillPoint[] {
  const writes = isDoomed ? WRITES.undone : WRITES.done;
  const numbers = Array.from({ length: writes - 1 }, (_none, at) => at + 1);
  return numbers.flatMap((n) => [
    { at: n, side: "after", isDoomed },
    { at: n + 1, side: "before", isDoomed },
  ]);
}

/** Kills a booking at a point, lets this process go on with it, and looks what came of it. */
export async function killAndGoOn(place: ChildPlace, point: KillPoint): Promise<void> {
  const effects = mkdtempSync(path.join(tmpdir(), "herald-effects-"));
  const killed = await runChild({ what: "saga", place, effects, ...point });
  expect(killed).toMatchObject({ signal: "SIGKILL" });
  const { stores, close } = await storesAt(place);
  const saga = booking(stores, effects, point.isDoomed);
  try {
    saga.start();
    const status = point.isDoomed ? "compensated" : "completed";
    await expect.poll(async () => (await saga.get("one"))?.status).toBe(status);
    await expect.poll(() => saga.list()).toEqual([]);

    const done = STEPS.map((step) => `one+${step}`);
    const undone = point.isDoomed ? done.map((effect) => `${effect}+undo`) : [];
    const found = readdirSync(effects).filter((name) => name !== "runs.log");
    expect(found.toSorted()).toEqual([...done, ...undone].toSorted());
    // What was begun when the process was killed is begun again, and nothing else is.
    const runs = readFileSync(path.join(effects, "runs.log"), "utf8").split("\n").slice(0, -1);
    expect(runs.length - new Set(runs).size).toBeLessThanOrEqual(1);
    expect(await new EventStore(stores).verify("saga.booking.one")).toMatchObject({ ok: true });
  } finally {
    await saga.stop();
    await close();
    rmSync(effects, { recursive: true, force: true });
  }
}
