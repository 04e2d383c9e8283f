import { describe, expect, test } from "vitest";
import type { HeraldError } from "./errors.ts";
import { DEFAULT_PRIORITY, PRIORITY_LEVELS, priorityLevel, priorityName, type Priority } from "./priority.ts";

describe("priorityLevel", () => {
  test.each<[Priority | undefined, number]>([
    ["critical", 10],
    ["high", 35],
    ["normal", 50],
    ["low", 80],
    [undefined, 50],
    [0, 0],
    [99, 99],
  ])("%s is %i", (priority, level) => {
    expect(priorityLevel(priority)).toBe(level);
  });

  test.each([
    -1,
    100,
    1.5,
    Number.NaN,
    Infinity,
    "urgent",
    "",
    "HIGH",
    "constructor",
    "__proto__",
    "5",
    null,
    1n,
    {},
    [5],
    true,
  ])("a priority that is neither a level nor a name is refused: %#", (priority) => {
    expect(() => priorityLevel(priority as Priority)).toThrow(
      expect.objectContaining<Partial<HeraldError>>({
        code: "INVALID_ARGUMENT",
        details: { field: "priority" },
      }),
    );
  });
});

describe("priorityName", () => {
  test.each([
    [0, "critical"],
    [20, "critical"],
    [21, "high"],
    [49, "high"],
    [50, "normal"],
    [69, "normal"],
    [70, "low"],
    [99, "low"],
  ])("level %i lies in the band %s", (level, name) => {
    expect(priorityName(level)).toBe(name);
  });

  test("every level has a name, and every name's own level lies in its band", () => {
    const names = Array.from({ length: PRIORITY_LEVELS }, (_, level) => priorityName(level));
    expect(new Set(names)).toEqual(new Set(["critical", "high", "normal", "low"]));
    for (const name of new Set(names)) expect(priorityName(priorityLevel(name))).toBe(name);
    expect(priorityName(DEFAULT_PRIORITY)).toBe("normal");
  });
});
