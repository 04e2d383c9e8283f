import { describe, expect, it } from "vitest";
import { FakeClock } from "../../testing/fake-clock.ts";
import { RateLimit } from "./rate-limit.ts";

const EVERY = { max: 2, perMs: 1000 };

/** Places as a broker tells them apart. */
function places() {
  const taken = new Set<string>();
  return async (place: string): Promise<boolean> => {
    if (taken.has(place)) return false;
    taken.add(place);
    return true;
  };
}

describe("a rate limit", () => {
  it("gives so many turns in each span, in the order in which they were asked for", async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(clock, EVERY, places());
    const turns: number[] = [];
    for (let at = 0; at < 5; at++) void limit.turn().then(() => turns.push(at));
    await clock.advanceAsync(0);
    expect(turns).toEqual([0, 1]);
    await clock.advanceAsync(999);
    expect(turns).toEqual([0, 1]);
    await clock.advanceAsync(1);
    expect(turns).toEqual([0, 1, 2, 3]);
    await clock.advanceAsync(1000);
    expect(turns).toEqual([0, 1, 2, 3, 4]);
  });

  it("is one for all processes", async () => {
    const clock = new FakeClock();
    const claim = places();
    const limits = [new RateLimit(clock, EVERY, claim), new RateLimit(clock, EVERY, claim)];
    let turns = 0;
    for (const limit of limits) for (let n = 0; n < 3; n++) void limit.turn().then(() => turns++);
    await clock.advanceAsync(0);
    expect(turns).toBe(2);
    await clock.advanceAsync(1000);
    expect(turns).toBe(4);
    await clock.advanceAsync(1000);
    expect(turns).toBe(6);
  });

  it("goes on after a turn that could not be had", async () => {
    let isAway = true;
    const limit = new RateLimit(new FakeClock(), EVERY, async () => {
      if (isAway) throw new Error("away");
      return true;
    });
    await expect(limit.turn()).rejects.toThrow("away");
    isAway = false;
    await limit.turn();
  });

  it.each([
    [{ max: 0, perMs: 1 }, "rateLimit.max"],
    [{ max: 1.5, perMs: 1 }, "rateLimit.max"],
    [{ max: 1, perMs: 0 }, "rateLimit.perMs"],
  ])("of %j is refused, naming %s", (options, field) => {
    expect(() => new RateLimit(new FakeClock(), options, places())).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });
});
