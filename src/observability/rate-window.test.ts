import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RateWindow } from "./rate-window.ts";

describe("a rate", () => {
  it("is nothing before the first event", () => {
    expect(new RateWindow(500).perSecond(500)).toBe(0);
  });

  it("is over the time since the start while that is less than a minute, but at least a second", () => {
    const window = new RateWindow(0);
    for (let i = 0; i < 10; i++) window.add(100);
    expect(window.perSecond(100)).toBe(10);
    expect(window.perSecond(5000)).toBe(2);
  });

  it("is over the last minute afterwards, and forgets what is older", () => {
    const window = new RateWindow(0);
    for (let second = 0; second < 120; second++) {
      for (let i = 0; i < 6; i++) window.add(second * 1000);
    }
    expect(window.perSecond(119_000)).toBe(6);
    expect(window.perSecond(149_000)).toBe(3);
    expect(window.perSecond(179_000)).toBe(0);
    expect(window.perSecond(1e9)).toBe(0);
  });

  it("agrees with a count of the events of the last sixty seconds, wherever they fall", () => {
    const steps = fc.array(fc.integer({ min: 0, max: 90_000 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), steps, (startAt, gaps) => {
        const window = new RateWindow(startAt);
        const events: number[] = [];
        let now = startAt;
        for (const gap of gaps) {
          now += gap;
          window.add(now);
          events.push(Math.floor(now / 1000));
        }
        const inWindow = events.filter((second) => second > Math.floor(now / 1000) - 60).length;
        const seconds = Math.min(60, Math.max(1, (now - startAt) / 1000));
        expect(window.perSecond(now)).toBeCloseTo(inWindow / seconds, 9);
      }),
    );
  });
});
