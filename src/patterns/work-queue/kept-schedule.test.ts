import { describe, expect, it } from "vitest";
import { HeraldError } from "../../core/errors.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { KeptSchedule } from "./kept-schedule.ts";
import { readSchedule, type Schedule } from "./schedule.ts";

async function keeping(when: Schedule, more: { readonly catchUpMs?: number; readonly fails?: number } = {}) {
  const clock = new FakeClock({ startAt: Date.UTC(2026, 0, 1, 0, 0, 30) });
  const enqueued: string[] = [];
  const faults: string[] = [];
  let fails = more.fails ?? 0;
  const kept = new KeptSchedule({
    name: "s",
    clock,
    next: await readSchedule(when),
    catchUpMs: more.catchUpMs ?? 0,
    enqueue: (at) => {
      if (fails-- > 0) return Promise.reject(new HeraldError("NOT_CONNECTED", "Away."));
      enqueued.push(new Date(at).toISOString().slice(11, 19));
      return Promise.resolve();
    },
    onFault: ({ code }) => faults.push(code),
  });
  return { clock, enqueued, faults, kept };
}

describe("a schedule", () => {
  it("enqueues at each moment of its cron expression, never before", async () => {
    const { clock, enqueued, kept } = await keeping({ cron: "*/5 * * * *", timeZone: "UTC" });
    expect(kept.nextAt).toBe(Date.UTC(2026, 0, 1, 0, 5));
    await clock.advanceAsync(4.5 * 60_000 - 1);
    expect(enqueued).toEqual([]);
    await clock.advanceAsync(1);
    expect(enqueued).toEqual(["00:05:00"]);
    await clock.advanceAsync(10 * 60_000);
    expect(enqueued).toEqual(["00:05:00", "00:10:00", "00:15:00"]);
  });

  it("reads a time zone, where a day may have 25 hours", async () => {
    const next = await readSchedule({ cron: "0 9 * * *", timeZone: "Europe/Berlin" });
    const before = next(Date.UTC(2026, 9, 24)) ?? 0;
    const after = next(before) ?? 0;

    expect(new Date(before).toISOString()).toBe("2026-10-24T07:00:00.000Z");
    expect((after - before) / 3_600_000).toBe(25);
  });

  it("of a span counts from the epoch, so that all processes mean the same moments", async () => {
    const { clock, enqueued } = await keeping({ everyMs: 20_000 });
    await clock.advanceAsync(60_000);
    expect(enqueued).toEqual(["00:00:40", "00:01:00", "00:01:20"]);
  });

  it("catches up with the moments of a time when nobody ran, if it is told to", async () => {
    const { clock, enqueued } = await keeping({ everyMs: 20_000 }, { catchUpMs: 60_000 });
    await clock.advanceAsync(0);
    expect(enqueued).toEqual(["23:59:40", "00:00:00", "00:00:20"]);
  });

  it("that fails tries the same moment again and leaves none out", async () => {
    const { clock, enqueued, faults } = await keeping({ everyMs: 20_000 }, { fails: 3 });
    await clock.advanceAsync(10_000);
    expect([enqueued, faults]).toEqual([[], ["NOT_CONNECTED"]]);
    await clock.advanceAsync(1000 + 2000 + 4000);
    expect([enqueued, faults.length]).toEqual([["00:00:40"], 3]);
    await clock.advanceAsync(60_000);
    expect(enqueued.slice(1)).toEqual(["00:01:00", "00:01:20", "00:01:40"]);
  });

  it("follows a wall clock that is set, within a minute", async () => {
    const { clock, enqueued } = await keeping({ cron: "0 3 * * *", timeZone: "UTC" });
    clock.jumpWall(3 * 3_600_000);
    await clock.advanceAsync(60_000);
    expect(enqueued).toEqual(["03:00:00"]);
  });

  it("that was stopped enqueues no more and leaves no timer", async () => {
    const { clock, enqueued, kept } = await keeping({ everyMs: 1000 });
    kept.stop();
    await clock.advanceAsync(10_000);
    expect([enqueued, clock.pending, kept.nextAt]).toEqual([[], 0, undefined]);
  });

  it("without a further moment ends by itself", async () => {
    const { clock, enqueued, kept } = await keeping({ cron: "0 0 0 1 1 * 2020", timeZone: "UTC" });
    expect([kept.nextAt, clock.pending]).toEqual([undefined, 0]);
    expect(enqueued).toEqual([]);
  });

  it.each<[unknown, string]>([
    [{ cron: "every day" }, "when.cron"],
    [{ cron: 5 }, "when.cron"],
    [{ cron: "* * * * *", timeZone: "Moon/Crater" }, "when.cron"],
    [{ everyMs: 0 }, "when.everyMs"],
    [{ everyMs: Number.NaN }, "when.everyMs"],
    [null, "when"],
    ["* * * * *", "when"],
  ])("of %j is refused, naming %s", async (when, field) => {
    await expect(readSchedule(when as Schedule)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field },
    });
  });
});
