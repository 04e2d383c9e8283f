import { beforeEach, describe, expect, test, vi } from "vitest";
import type { HeraldError } from "./errors.ts";
import { checkId, derivedId, randomHex } from "./ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let createId: (epochMs?: number) => string;

/** The 48 bits of time at the head of a UUID version 7. */
function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

beforeEach(async () => {
  // The counter lives as long as the module: every test starts with a fresh one.
  vi.resetModules();
  ({ createId } = await import("./ids.ts"));
});

describe("createId", () => {
  test("carries version 7 and the variant of RFC 9562", () => {
    for (let i = 0; i < 10_000; i++) expect(createId()).toMatch(UUID_V7);
  });

  test("100,000 ids are unique and in ascending order as text", () => {
    const ids = Array.from({ length: 100_000 }, () => createId());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id, at) => at === 0 || (ids[at - 1] as string) < id)).toBe(true);
  });

  test("100,000 ids of one millisecond are unique and in order: a full counter borrows from the next millisecond", () => {
    const ids = Array.from({ length: 100_000 }, () => createId(1_700_000_000_000));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id, at) => at === 0 || (ids[at - 1] as string) < id)).toBe(true);
    expect(timeOf(ids[4095] as string)).toBe(1_700_000_000_000);
    expect(timeOf(ids.at(-1) as string)).toBe(1_700_000_000_000 + Math.floor(99_999 / 4096));
  });

  test.each([1, 1_700_000_000_000.9, 2 ** 32 + 5, 2 ** 48 - 2])(
    "embeds the whole milliseconds of %d",
    (epochMs) => {
      expect(timeOf(createId(epochMs))).toBe(Math.floor(epochMs));
    },
  );

  test("embeds the present when no time is given", () => {
    const before = Date.now();
    const embedded = timeOf(createId());
    expect(embedded).toBeGreaterThanOrEqual(before);
    expect(embedded).toBeLessThanOrEqual(Date.now());
  });

  test("a clock that goes back does not bring ids out of order", () => {
    const first = createId(1_700_000_000_000);
    const second = createId(1_600_000_000_000);
    expect(second > first).toBe(true);
    expect(timeOf(second)).toBe(1_700_000_000_000);
  });

  test.each([Number.NaN, Infinity, 2 ** 48, 8.64e15])("a time of %d spoils no later id", (epochMs) => {
    expect(createId(epochMs)).toMatch(UUID_V7);
    expect(timeOf(createId(1_700_000_000_000))).toBe(1_700_000_000_000);
  });

  test("the random part differs between ids of one millisecond", () => {
    const tails = Array.from({ length: 2000 }, () => createId(1_700_000_000_000).slice(19));
    expect(new Set(tails).size).toBe(tails.length);
  });
});

describe("derivedId", () => {
  const UUID_V8 = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/;

  test("is the same for the same seed, and another for another", () => {
    expect(derivedId("a")).toMatch(UUID_V8);
    expect(derivedId("a")).toBe(derivedId("a"));
    expect(derivedId("a")).not.toBe(derivedId("b"));
  });

  test("begins as the UUID that it belongs to, so that both are sorted by the same time", () => {
    const cause = createId(1_700_000_000_000);
    const output = derivedId("a", cause);
    expect(output).toMatch(UUID_V8);
    expect(timeOf(output)).toBe(1_700_000_000_000);
    expect(derivedId("b", cause)).not.toBe(output);
    expect(timeOf(derivedId("a", output))).toBe(1_700_000_000_000);
  });

  test.each(["order:1", "", "018BCFE5-68FF-7000", "018bcfe5_68ff"])(
    "is no part of %j, which is none",
    (near) => {
      expect(derivedId("a", near)).toBe(derivedId("a"));
    },
  );
});

describe("randomHex", () => {
  test.each([0, 1, 7, 16, 33])("gives %i lower-case hexadecimal characters", (length) => {
    expect(randomHex(length)).toMatch(new RegExp(`^[0-9a-f]{${length}}$`));
  });

  test("does not repeat itself", () => {
    expect(new Set(Array.from({ length: 1000 }, () => randomHex(16))).size).toBe(1000);
  });
});

describe("checkId", () => {
  test.each(["a", "order:1/{x}", "~".repeat(128), "0"])("accepts %s", (id) => {
    expect(() => checkId(id)).not.toThrow();
  });

  test.each(["", "a b", "a\n", "\0", "\u007f", "é", "a".repeat(129), 5, null, undefined, {}])(
    "refuses %j with INVALID_ARGUMENT naming the field",
    (id) => {
      expect(() => checkId(id, "correlationId")).toThrow(
        expect.objectContaining<Partial<HeraldError>>({
          code: "INVALID_ARGUMENT",
          details: { field: "correlationId" },
        }),
      );
    },
  );
});
