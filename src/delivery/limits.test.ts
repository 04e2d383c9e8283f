import { expect, it } from "vitest";
import type { Budget } from "../core/budget.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { MemoryStores } from "../stores/memory-stores.ts";
import { checkAmounts, checkBudget } from "./budget.ts";
import { Ledger } from "./ledger.ts";
import { Stops } from "./stops.ts";

const DAY_MS = 86_400_000;

/** The machine's clock, so many days on. */
const clockAfter = (days: number): Clock => ({
  now: () => systemClock.now() + days * DAY_MS,
  monotonic: () => systemClock.monotonic() + days * DAY_MS,
  setTimer: (delayMs, task) => systemClock.setTimer(delayMs, task),
});

it("a budget or an amount that is none is INVALID_ARGUMENT", () => {
  const refused = expect.objectContaining({ code: "INVALID_ARGUMENT" });
  expect(() => checkBudget("much" as unknown as Budget)).toThrow(refused);
  expect(() => checkBudget({ spend: { "not a name": 1 } })).toThrow(refused);
  expect(() => checkAmounts({ tokens: -1 })).toThrow(refused);
});

it("a ledger forgets conversations that used nothing for a week", async () => {
  const { values } = new MemoryStores();
  await new Ledger(values, systemClock).add("old", { messages: 1 });
  const later = new Ledger(values, clockAfter(8));
  for (let n = 0; n < 1000; n++) await later.add(`new-${n}`, { messages: 1 });
  expect((await later.read("old")).messages).toBe(0);
  expect((await later.read("new-0")).messages).toBe(1);
});

it("a ledger whose conversation others write to without end gives up", async () => {
  const { values } = new MemoryStores();
  const contended = { ...values, get: async () => undefined, put: async () => undefined };
  const ledger = new Ledger(contended as unknown as typeof values, systemClock);
  await expect(ledger.add("busy", { messages: 1 })).rejects.toMatchObject({ code: "CONFLICT" });
});

it("stops are forgotten after a month, and a list that cannot be read leaves what was known", async () => {
  const { values } = new MemoryStores();
  await new Stops(values, systemClock, "a").stop("old");
  const later = new Stops(values, clockAfter(31), "a");
  await later.stop("new");
  expect(await values.keys("stopped")).toHaveLength(1);
  values.keys = () => Promise.reject(new Error("away"));
  expect(await later.release("new")).toBe(true);
});
