import { describe, expect, it } from "vitest";
import { parseDuration, parseWhole, showDuration } from "./duration.ts";

describe("parseDuration", () => {
  it("reads a number with its unit", () => {
    expect(["500ms", "1.5s", "2m", "1h", "7d"].map(parseDuration)).toEqual([
      500, 1500, 120_000, 3_600_000, 604_800_000,
    ]);
  });

  it.each(["", "5", "s", "-1s", "1 s", "1w", "1e3s", "\u001b1s"])("refuses %j as a usage error", (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});

describe("parseWhole", () => {
  it("reads whole numbers down to its minimum", () => {
    expect([parseWhole("0"), parseWhole("12", 1)]).toEqual([0, 12]);
  });

  it.each(["", "1.5", "-1", "x", "99999999999999999999"])("refuses %j as a usage error", (text) => {
    expect(() => parseWhole(text)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it("refuses what is below its minimum", () => {
    expect(() => parseWhole("0", 1)).toThrow("'0' is not a whole number of 1 or more.");
  });
});

describe("showDuration", () => {
  it("chooses the unit that people would", () => {
    expect([12.4, 1234, 90_000, 5_400_000].map(showDuration)).toEqual(["12 ms", "1.2 s", "1.5 min", "1.5 h"]);
  });
});
