import { describe, expect, it } from "vitest";
import { FakeClock } from "./fake-clock.ts";

describe("FakeClock", () => {
  it("stands still until it is advanced", () => {
    const clock = new FakeClock({ startAt: 1000 });

    expect([clock.now(), clock.monotonic()]).toEqual([1000, 0]);
    clock.advance(25);

    expect([clock.now(), clock.monotonic()]).toEqual([1025, 25]);
  });

  it("runs timers in the order they are due, each at its own moment, equals by age", () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    const note = (name: string) => () => ran.push(`${name}@${clock.monotonic()}`);
    clock.setTimer(30, note("c"));
    clock.setTimer(10, note("a"));
    clock.setTimer(10, note("b"));
    clock.setTimer(31, note("later"));

    clock.advance(30);

    expect(ran).toEqual(["a@10", "b@10", "c@30"]);
    expect([clock.pending, clock.nextDueMs]).toEqual([1, 1]);
  });

  it("runs a timer that a timer sets within the same step", () => {
    const clock = new FakeClock();
    const ran: number[] = [];
    clock.setTimer(10, () => clock.setTimer(5, () => ran.push(clock.monotonic())));

    clock.advance(20);

    expect(ran).toEqual([15]);
  });

  it("does not run a cancelled timer, and cancelling twice is no error", () => {
    const clock = new FakeClock();
    let ran = false;
    const timer = clock.setTimer(1, () => (ran = true));

    timer.cancel();
    timer.cancel();
    clock.advance(5);

    expect(ran).toBe(false);
    expect(clock.nextDueMs).toBeUndefined();
  });

  it("lets promises run between two timers when it is advanced asynchronously", async () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    clock.setTimer(
      10,
      () =>
        void Promise.resolve().then(() => clock.setTimer(5, () => ran.push(`chained@${clock.monotonic()}`))),
    );

    await clock.advanceAsync(20);

    expect(ran).toEqual(["chained@15"]);
  });

  it("jumps the wall clock and leaves monotonic time and timers alone", () => {
    const clock = new FakeClock({ startAt: 1000 });
    let ran = false;
    clock.setTimer(10, () => (ran = true));

    clock.jumpWall(3_600_000);
    clock.advance(9);

    expect([clock.now(), clock.monotonic(), ran]).toEqual([3_601_009, 9, false]);
  });
});
