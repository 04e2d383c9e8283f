import { describe, expect, it } from "vitest";
import { bindingKey, isCoarse, Names } from "./names.ts";
import { rungFor } from "./topology.ts";

describe("the ladder of delays", () => {
  it("waits in the largest queue that leaves a moment for the way, and in none for what is shorter", () => {
    expect([199.9, 200, 224, 225, 274.9, 975, 1000, 60_000].map(rungFor)).toEqual([
      undefined,
      25,
      25,
      50,
      50,
      800,
      800,
      51_200,
    ]);
    expect([Number.NaN, -1, 0].map(rungFor)).toEqual([undefined, undefined, undefined]);
  });

  it("has an end that a TTL can say, which longer delays pass again", () => {
    expect(rungFor(Number.MAX_SAFE_INTEGER)).toBe(25 * 2 ** 26);
    expect(25 * 2 ** 26).toBeLessThan(2 ** 32);
  });
});

describe("names", () => {
  it("show group and pattern, and are never longer than AMQP takes", () => {
    const names = new Names("shop");
    expect(names.group("orders.*", "billing")).toBe("shop/billing/orders.*");
    const long = names.group("p".repeat(200), "g".repeat(120));
    expect(Buffer.byteLength(long)).toBeLessThan(255);
    expect(long).not.toBe(names.group("p".repeat(199), "g".repeat(120)));
    expect(names.group("b/c", "a")).not.toBe(names.group("c", "a/b"));
  });

  it("bind a little more than a pattern where a star stands within a token", () => {
    expect([bindingKey("a.agent-*.#"), isCoarse("a.agent-*.#")]).toEqual(["a.*.#", true]);
    expect([bindingKey("a.*"), isCoarse("a.*")]).toEqual(["a.*", false]);
  });
});
