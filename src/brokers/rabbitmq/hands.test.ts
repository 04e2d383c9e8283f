import { describe, expect, it } from "vitest";
import { FakeClock } from "../../testing/fake-clock.ts";
import { Hands } from "./hands.ts";

describe("what processes had in hand", () => {
  it("is told until a settlement cannot be on its way any more", () => {
    const clock = new FakeClock();
    const hands = new Hands(clock);
    hands.handedOut("q", "a", 3);
    hands.handedOut("q", "b", 1);
    hands.settled("q", "b", { attempts: 1, dueAt: 0 });
    expect(hands.mine()).toEqual({
      q: [
        ["a", 3],
        ["b", 1],
      ],
    });
    clock.advance(6000);
    expect(hands.mine()).toEqual({ q: [["a", 3]] });
  });

  it("counts a message that a killed server has given out, and not one that was released", () => {
    const hands = new Hands(new FakeClock());
    hands.handedOut("q", "a", 3);
    hands.settled("q", "a", { attempts: 2, dueAt: 0 });
    const other = new Hands(new FakeClock());
    other.hear(hands.mine());
    other.hear({ q: [["b", 1]] });
    const attempts = (queue: string, id: string) => other.attempts(queue, id, false);
    expect([attempts("q", "a"), attempts("q", "b"), attempts("p", "a")]).toEqual([2, 1, 0]);
  });

  it("counts on where a message comes twice: itself, and the copy that was given back", () => {
    const hands = new Hands(new FakeClock());
    hands.hear({ q: [["a", 1]] });
    hands.handedOut("q", "a", 2);
    hands.settled("q", "a", { attempts: 2, dueAt: 0 });
    expect(hands.attempts("q", "a", false)).toBe(2);
    hands.handedOut("q", "b", 5);
    expect([hands.attempts("q", "b", true), hands.attempts("q", "b", false)]).toEqual([5, 0]);
  });

  it("remembers for a while when a message that was given back may come again", () => {
    const clock = new FakeClock();
    const hands = new Hands(clock);
    hands.handedOut("q", "a", 1);
    hands.settled("q", "a", { attempts: 1, dueAt: 77 });
    expect([hands.dueAt("q", "a"), hands.dueAt("p", "a")]).toEqual([77, 0]);
    clock.advance(6000);
    hands.mine();
    expect(hands.dueAt("q", "a")).toBe(0);
  });

  it("tells the others when a message that was given back may come again", () => {
    const hands = new Hands(new FakeClock());
    hands.handedOut("q", "a", 1);
    hands.settled("q", "a", { attempts: 1, dueAt: 77 });
    const other = new Hands(new FakeClock());
    other.hear({ q: [["a", 1]] });
    other.hear(hands.mine());
    expect([other.dueAt("q", "a"), other.dueAt("q", "b")]).toEqual([77, 0]);
  });
});
