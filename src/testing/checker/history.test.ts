import { expect, it } from "vitest";
import { FakeClock } from "../fake-clock.ts";
import { check } from "./check.ts";
import { History, parseHistory } from "./history.ts";
import { describeVerdict } from "./verdict.ts";

it("survives being written as lines and read back", () => {
  const clock = new FakeClock({ startAt: 5 });
  const history = new History(clock);
  history.add({ type: "pub.invoke", id: "w-0", channel: "c" });
  clock.advance(10);
  history.add({ type: "pub.ok", id: "w-0" });

  expect([...parseHistory(`${history.toLines()}\n`.split("\n"))]).toEqual(history.events);
  expect(history.events.map(({ at }) => at)).toEqual([5, 15]);
});

it("is described in one line, with the anomalies and why a run proves nothing", () => {
  const history = new History(new FakeClock());
  history.add({ type: "start", id: "w-0", group: "g", attempt: 1, consumer: "one" });

  expect(describeVerdict(check(history.events, { minAcked: 1 }))).toBe(
    "phantom (1: w-0 was never published), vacuous (0 acknowledged messages and 0 faults prove nothing)",
  );
  expect(describeVerdict(check([], { minAcked: 0 }))).toBe("ok, 0 acked");
});
