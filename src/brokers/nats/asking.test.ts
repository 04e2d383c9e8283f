import { describe, expect, it } from "vitest";
import { FakeClock } from "../../testing/fake-clock.ts";
import { Timers } from "../shared/timers.ts";
import { Asking, type Asked } from "./asking.ts";

/** Somebody who waits for a minute; every request is written down. */
function waiting() {
  const clock = new FakeClock();
  const sent: Asked[] = [];
  const asking: Asking = new Asking({
    timers: new Timers(clock),
    pull: (asked) => sent.push(asked) > 0,
    again: () => asking.ask(10, 60_000),
  });
  asking.ask(10, 60_000);
  return { clock, sent, asking };
}

describe("the one request of a reader", () => {
  it("is sent again when its end does not come: a consumer that looks alive and is dead is noticed", () => {
    const { clock, sent } = waiting();
    clock.advance(2900);
    expect(sent).toHaveLength(1);
    clock.advance(200);
    expect(sent.map(({ number }) => number)).toEqual([0, 1]);
  });

  it("is not sent again while it is out, and waits longer after each that brought nothing", () => {
    const { sent, asking } = waiting();
    asking.ask(10, 60_000);
    expect(sent).toHaveLength(1);
    for (let number = 0; number < 6; number++) {
      expect(asking.ended(number, false)).toBe(true);
      asking.ask(10, 60_000);
    }
    expect(sent.map(({ expiresMs }) => expiresMs)).toEqual([
      2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
    ]);
  });

  it("is over when it has brought what it asked for, and the next one waits as short as the first", () => {
    const { sent, asking } = waiting();
    asking.ended(0, false);
    asking.ask(2, 60_000);
    asking.brought();
    expect(asking.isOut).toBe(true);
    asking.brought();
    expect(asking.isOut).toBe(false);
    asking.ask(1, 500);
    asking.ended(2, false);
    asking.ask(1, 0);
    expect(sent.slice(1)).toMatchObject([
      { batch: 2, expiresMs: 4000 },
      { batch: 1, expiresMs: 500 },
      { batch: 1, expiresMs: 0 },
    ]);
  });

  it("is not hurried after a refusal, and a sign that came for another changes nothing", () => {
    const { clock, sent, asking } = waiting();
    expect(asking.ended(7, true)).toBe(false);
    expect(asking.isOut).toBe(true);
    asking.ended(0, true);
    for (let n = 0; n < 5; n++) asking.ask(10, 60_000);
    expect(sent).toHaveLength(1);
    clock.advance(25);
    expect(sent).toHaveLength(2);
  });
});
