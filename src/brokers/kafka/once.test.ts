import { expect, it } from "vitest";
import type { Fetched } from "./fetched.ts";
import { Once } from "./once.ts";

const WINDOW_MS = 120;

const record = (offset: number, storedAt: number, onceId = "a") =>
  ({ offset, storedAt, onceId }) as unknown as Fetched;

it("recognises an id for a window after the last time that it was stored, however long that goes on", () => {
  const once = new Once(WINDOW_MS);
  const copies = Array.from({ length: 20 }, (_none, n) => record(n, n * 100));
  expect(copies.map((copy) => once.isRepeat(copy))).toEqual(copies.map((_copy, n) => n > 0));
  expect(once.isRepeat(record(20, 1900 + WINDOW_MS + 1))).toBe(false);
  expect(once.isRepeat(record(21, 1900 + WINDOW_MS + 2))).toBe(true);
});

it("says the same of a record that is shown again, and to whoever begins a window before", () => {
  const copies = [record(0, 0), record(1, 100), record(2, 200), record(3, 210, "b"), record(4, 300)];
  const once = new Once(WINDOW_MS);
  const first = copies.map((copy) => once.isRepeat(copy));
  expect(first).toEqual([false, true, true, false, true]);
  expect(copies.slice(2).map((copy) => once.isRepeat(copy))).toEqual(first.slice(2));

  const late = new Once(WINDOW_MS);
  late.isRepeat(record(1, 100));
  expect(copies.slice(2).map((copy) => late.isRepeat(copy))).toEqual(first.slice(2));
});
