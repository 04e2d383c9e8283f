import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Clock, TimerHandle } from "./clock.ts";
import { Deadlines, type Deadline } from "./deadlines.ts";

/** Steps by hand, and counts the timers that are set. */
class StepClock implements Clock {
  time = 0;
  timersSet = 0;
  readonly timers = new Set<{ readonly at: number; readonly task: () => void }>();

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  setTimer(delayMs: number, task: () => void): TimerHandle {
    const timer = { at: this.time + delayMs, task };
    this.timers.add(timer);
    this.timersSet++;
    return { cancel: () => this.timers.delete(timer) };
  }

  /** Goes on by `ms`, stopping at every timer on the way. */
  step(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.time = Math.max(this.time, next.at);
      this.timers.delete(next);
      next.task();
    }
    this.time = end;
  }
}

function setUp(): { clock: StepClock; due: string[]; deadlines: Deadlines<string> } {
  const clock = new StepClock();
  const due: string[] = [];
  return {
    clock,
    due,
    deadlines: new Deadlines<string>(clock, (value) => due.push(`${value}@${clock.time}`)),
  };
}

describe("order", () => {
  test("each falls due at its moment, the earliest first, whatever the order of adding", () => {
    const { clock, due, deadlines } = setUp();
    deadlines.add(30, "c");
    deadlines.add(10, "a");
    deadlines.add(20, "b");
    clock.step(19);
    expect(due).toEqual(["a@10"]);
    clock.step(100);
    expect(due).toEqual(["a@10", "b@20", "c@30"]);
    expect(deadlines.size).toBe(0);
  });

  test("those of one moment fall due in the order of adding", () => {
    const { clock, due, deadlines } = setUp();
    const names = Array.from({ length: 20 }, (_, at) => `n${at}`);
    for (const name of names) deadlines.add(5, name);
    clock.step(5);
    expect(due).toEqual(names.map((name) => `${name}@5`));
  });

  test("a delay of zero and one in the past are due at the next turn of the clock, not inside add()", () => {
    const { clock, due, deadlines } = setUp();
    deadlines.add(0, "now");
    deadlines.add(-5, "before");
    expect(due).toEqual([]);
    clock.step(0);
    expect(due).toEqual(["before@0", "now@0"]);
  });

  test("a callback may add, also something due at once", () => {
    const clock = new StepClock();
    const due: number[] = [];
    const deadlines: Deadlines<number> = new Deadlines(clock, (value) => {
      due.push(value);
      if (value < 3) deadlines.add(0, value + 1);
      else if (value === 3) deadlines.add(10, 4);
    });
    deadlines.add(1, 0);
    clock.step(1);
    expect(due).toEqual([0, 1, 2, 3]);
    clock.step(10);
    expect(due).toEqual([0, 1, 2, 3, 4]);
  });

  test("any run of adding, cancelling and stepping agrees with a sorted list", () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), n: fc.integer({ min: 0, max: 30 }) }),
      fc.record({ kind: fc.constant("cancel" as const), n: fc.nat() }),
      fc.record({ kind: fc.constant("step" as const), n: fc.integer({ min: 0, max: 20 }) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
        const clock = new StepClock();
        const due: number[] = [];
        const deadlines = new Deadlines<number>(clock, (value) => due.push(value));
        const added: Deadline<number>[] = [];
        let waiting: { at: number; value: number }[] = [];
        const expected: number[] = [];
        for (const { kind, n } of commands) {
          if (kind === "add") {
            waiting.push({ at: clock.time + n, value: added.length });
            added.push(deadlines.add(n, added.length));
          } else if (kind === "cancel" && added.length > 0) {
            const value = n % added.length;
            deadlines.cancel(added[value] as Deadline<number>);
            waiting = waiting.filter((entry) => entry.value !== value);
          } else if (kind === "step") {
            clock.step(n);
            const over = waiting.filter((entry) => entry.at <= clock.time);
            expected.push(
              ...over.toSorted((a, b) => a.at - b.at || a.value - b.value).map((entry) => entry.value),
            );
            waiting = waiting.filter((entry) => entry.at > clock.time);
          }
          expect(deadlines.size).toBe(waiting.length);
        }
        expect(due).toEqual(expected);
        expect(clock.timers.size).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe("cancelling", () => {
  test("a cancelled deadline never falls due, and cancelling again or too late counts nothing", () => {
    const { clock, due, deadlines } = setUp();
    const a = deadlines.add(10, "a");
    const b = deadlines.add(20, "b");
    deadlines.cancel(a);
    deadlines.cancel(a);
    expect(deadlines.size).toBe(1);
    clock.step(30);
    expect(due).toEqual(["b@20"]);
    deadlines.cancel(b);
    expect(deadlines.size).toBe(0);
  });

  test("a callback may cancel one that is due at the same moment", () => {
    const clock = new StepClock();
    const due: string[] = [];
    const deadlines = new Deadlines<string>(clock, (value) => {
      due.push(value);
      deadlines.cancel(second);
    });
    deadlines.add(5, "first");
    const second = deadlines.add(5, "second");
    clock.step(5);
    expect(due).toEqual(["first"]);
    expect(deadlines.size).toBe(0);
  });

  test("when all of many are cancelled no timer is left", () => {
    const { clock, deadlines } = setUp();
    const entries = Array.from({ length: 1000 }, (_, at) => deadlines.add(at, `${at}`));
    for (const entry of entries) deadlines.cancel(entry);
    expect(deadlines.size).toBe(0);
    clock.step(1000);
    expect(clock.timers.size).toBe(0);
  });

  test("when the last of 65 is cancelled the timer goes with them", () => {
    const { clock, deadlines } = setUp();
    for (const entry of Array.from({ length: 65 }, () => deadlines.add(10, "a"))) deadlines.cancel(entry);
    expect(clock.timers.size).toBe(0);
  });

  test("clear() forgets all, and cancelling what it forgot counts nothing", () => {
    const { clock, due, deadlines } = setUp();
    const a = deadlines.add(10, "a");
    deadlines.add(20, "b");
    deadlines.clear();
    expect(clock.timers.size).toBe(0);
    deadlines.cancel(a);
    expect(deadlines.size).toBe(0);
    deadlines.add(5, "c");
    expect(deadlines.size).toBe(1);
    clock.step(50);
    expect(due).toEqual(["c@5"]);
  });

  test("clear() inside a callback ends the round", () => {
    const clock = new StepClock();
    const due: string[] = [];
    const deadlines = new Deadlines<string>(clock, (value) => {
      due.push(value);
      deadlines.clear();
    });
    deadlines.add(1, "a");
    deadlines.add(1, "b");
    clock.step(5);
    expect(due).toEqual(["a"]);
    expect(clock.timers.size).toBe(0);
  });
});

describe("timers", () => {
  test("10,000 deadlines hold one timer", () => {
    const { clock, due, deadlines } = setUp();
    for (let i = 0; i < 10_000; i++) deadlines.add(1000 + (i % 7), `${i}`);
    expect(clock.timers.size).toBe(1);
    expect(clock.timersSet).toBe(1);
    clock.step(2000);
    expect(due).toHaveLength(10_000);
    expect(clock.timersSet).toBeLessThanOrEqual(8);
    expect(clock.timers.size).toBe(0);
  });

  test("an earlier deadline moves the timer forward", () => {
    const { clock, due, deadlines } = setUp();
    deadlines.add(1000, "late");
    deadlines.add(10, "early");
    expect(clock.timers.size).toBe(1);
    clock.step(10);
    expect(due).toEqual(["early@10"]);
    expect(clock.timers.size).toBe(1);
  });

  test("a timer that fires too early makes nothing due", () => {
    const { clock, due, deadlines } = setUp();
    deadlines.add(10, "a");
    const [timer] = clock.timers;
    clock.timers.clear();
    clock.time = 9;
    timer?.task();
    expect(due).toEqual([]);
    clock.step(1);
    expect(due).toEqual(["a@10"]);
  });

  test("a callback that throws does not leave the others waiting for ever", () => {
    const clock = new StepClock();
    const due: string[] = [];
    const deadlines = new Deadlines<string>(clock, (value) => {
      if (value === "broken") throw new Error("boom");
      due.push(value);
    });
    deadlines.add(5, "broken");
    deadlines.add(5, "same moment");
    deadlines.add(9, "later");
    expect(() => clock.step(5)).toThrow("boom");
    clock.step(10);
    expect(due).toEqual(["same moment", "later"]);
  });
});
