import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { isoTime, SystemClock, systemClock } from "./clock.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A clock whose two sources are set by hand. */
function withSources(): { clock: SystemClock; set: (wall: number, monotonic: number) => void } {
  const wall = vi.spyOn(Date, "now").mockReturnValue(1_000_000);
  const monotonic = vi.spyOn(performance, "now").mockReturnValue(500);
  return {
    clock: new SystemClock(),
    set: (wallMs, monotonicMs) => {
      wall.mockReturnValue(wallMs);
      monotonic.mockReturnValue(monotonicMs);
    },
  };
}

describe("isoTime", () => {
  test.each([
    [0, "1970-01-01T00:00:00.000Z"],
    [1_767_323_045_678, "2026-01-02T03:04:05.678Z"],
    [-1, "1969-12-31T23:59:59.999Z"],
    [-0.5, "1969-12-31T23:59:59.999Z"],
    [5.999, "1970-01-01T00:00:00.005Z"],
    [1_000_000_000_000_000, "+033658-09-27T01:46:40.000Z"],
    [-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"],
  ])("%d is %s", (epochMs, text) => {
    expect(isoTime(epochMs)).toBe(text);
  });

  test("agrees with Date.toISOString for every instant, fractions rounded down", () => {
    const limit = 8.64e15 - 1;
    const instant = fc.oneof(
      fc.integer({ min: -limit, max: limit }),
      fc.double({ min: -limit, max: limit, noNaN: true }),
      fc.double({ min: -1e13, max: 1e13, noNaN: true }),
    );
    // Neighbours too: the text of a second is kept from one call to the next.
    fc.assert(
      fc.property(instant, fc.integer({ min: -1500, max: 1500 }), (epochMs, step) => {
        for (const each of [epochMs, epochMs + step, epochMs]) {
          if (Math.abs(each) < limit) expect(isoTime(each)).toBe(new Date(Math.floor(each)).toISOString());
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("SystemClock", () => {
  test("begins also where two readings never lie close together", () => {
    let step = 500;
    vi.spyOn(performance, "now").mockImplementation(() => (step += 5));
    vi.spyOn(Date, "now").mockReturnValue(1_000_000);
    expect(Math.abs(new SystemClock().now() - 1_000_000)).toBeLessThanOrEqual(20);
  });

  test("wall time has the fractions of the monotonic clock", () => {
    const { clock, set } = withSources();
    set(1_000_000, 500.25);
    expect(clock.now()).toBe(1_000_000.25);
    expect(clock.monotonic()).toBe(500.25);
  });

  test("the rounding of Date.now() does not make wall time go back", () => {
    const { clock, set } = withSources();
    set(1_001_500, 2001.5);
    expect(clock.now()).toBe(1_001_501.5);
  });

  test("a jump of the system's clock is followed after a second, forward and back", () => {
    const { clock, set } = withSources();
    set(9_000_000, 1400);
    expect(clock.now()).toBe(1_000_900);
    set(9_000_000, 1600);
    expect(clock.now()).toBe(9_000_000);
    set(2_000_000, 2700);
    expect(clock.now()).toBe(2_000_000);
  });

  test("a process that loses the processor between its two sources takes that for no jump, first or later", () => {
    vi.spyOn(Date, "now").mockReturnValue(1_000_000);
    const read = vi.spyOn(performance, "now").mockReturnValue(500);
    const losesIt = (at: number) => read.mockReturnValueOnce(at).mockReturnValueOnce(at + 35);
    losesIt(465);
    const clock = new SystemClock();
    expect(clock.now()).toBe(1_000_000);
    read.mockReturnValue(1601);
    vi.spyOn(Date, "now").mockReturnValue(1_001_136);
    losesIt(1601);
    expect(clock.now()).toBe(1_001_101);
  });

  test("the machine's own clock stands close to Date.now() and never goes back", () => {
    const apart = Array.from({ length: 20 }, () => Math.abs(systemClock.now() - Date.now()));
    expect(Math.min(...apart)).toBeLessThan(50);
    const first = systemClock.monotonic();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first);
  });

  test("a timer runs once after its delay, rounded up, and not when it was cancelled", () => {
    vi.useFakeTimers();
    const clock = new SystemClock();
    const task = vi.fn();
    clock.setTimer(9.2, task);
    const cancelled = clock.setTimer(5, task);
    cancelled.cancel();
    cancelled.cancel();
    vi.advanceTimersByTime(9);
    expect(task).not.toHaveBeenCalled();
    vi.advanceTimersByTime(100);
    expect(task).toHaveBeenCalledOnce();
  });

  test("a delay below zero or beyond 24 days is no surprise to the timer", () => {
    const set = vi.spyOn(globalThis, "setTimeout");
    for (const delayMs of [-5, 2 ** 40, Infinity]) systemClock.setTimer(delayMs, () => {}).cancel();
    expect(set.mock.calls.map(([, delayMs]) => delayMs)).toEqual([0, 2 ** 31 - 1, 2 ** 31 - 1]);
  });

  test("a timer does not keep the process alive", () => {
    const set = vi.spyOn(globalThis, "setTimeout");
    const handle = systemClock.setTimer(1000, () => {});
    const timer = set.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    handle.cancel();
  });
});
