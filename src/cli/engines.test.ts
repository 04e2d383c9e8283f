import { describe, expect, it } from "vitest";
import { satisfies } from "./engines.ts";

const RANGE = ">=22.22.3 <23 || >=24.15.0";

describe("satisfies", () => {
  it.each(["v22.22.3", "22.99.0", "v24.15.0", "25.0.0", "24.15.1-rc.1"])("takes %s", (version) => {
    expect(satisfies(version, RANGE)).toBe(true);
  });

  it.each(["v22.22.2", "23.0.0", "24.14.9", "20.1.0", "nonsense"])("refuses %s", (version) => {
    expect(satisfies(version, RANGE)).toBe(false);
  });

  it("knows every comparator", () => {
    expect(
      ["<=2.0.0", "<2.0.1", ">1.9", "=2.0.0", "2.0.0"].map((range) => satisfies("2.0.0", range)),
    ).toEqual(Array(5).fill(true));
    expect(["<2.0.0", ">2", "<=1", "=2.0.1"].map((range) => satisfies("2.0.0", range))).toEqual(
      Array(4).fill(false),
    );
  });

  it("says no to a range that it cannot read", () => {
    expect(satisfies("2.0.0", "^2")).toBe(false);
  });
});
