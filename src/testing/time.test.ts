import { expect, it } from "vitest";
import { FakeClock } from "./fake-clock.ts";
import { RealTime, SteppedTime } from "./time.ts";

it("steps from timer to timer until the condition holds, and no further", async () => {
  const clock = new FakeClock();
  const time = new SteppedTime(clock);
  const ran: number[] = [];
  for (const at of [10, 500, 900]) clock.setTimer(at, () => ran.push(at));

  await time.until(() => ran.length === 2, "two timers");

  expect([ran, clock.monotonic()]).toEqual([[10, 500], 500]);
});

it("drives a promise that waits for a timer", async () => {
  const clock = new FakeClock();
  const promise = new Promise<string>((resolve) => clock.setTimer(60_000, () => resolve("done")));

  expect(await new SteppedTime(clock).drive(promise)).toBe("done");
});

it("drives a promise into its rejection", async () => {
  const clock = new FakeClock();
  const promise = new Promise<string>((_resolve, reject) => clock.setTimer(5, () => reject(new Error("no"))));

  await expect(new SteppedTime(clock).drive(promise)).rejects.toThrow("no");
});

it("gives up on stepped time when the time is over or no timer is left", async () => {
  const clock = new FakeClock();
  const time = new SteppedTime(clock);
  clock.setTimer(11, () => {});

  await expect(time.until(() => false, "a miracle", 10)).rejects.toThrow("Waited 10 ms for a miracle");
  await expect(
    time.until(
      () => false,
      () => "another",
      20,
    ),
  ).rejects.toThrow("for another");
});

it("waits in real time for a condition, and names what did not come", async () => {
  const time = new RealTime();
  const before = time.clock.monotonic();

  await time.until(() => time.clock.monotonic() - before > 5, "five milliseconds");
  await expect(time.until(() => false, "a miracle", 3)).rejects.toThrow("Waited 3 ms for a miracle");
});

it("lets real time pass", async () => {
  const time = new RealTime();
  const before = performance.now();

  await time.elapse(12);

  expect(performance.now() - before).toBeGreaterThan(10);
  expect(await time.drive(Promise.resolve(7))).toBe(7);
});
