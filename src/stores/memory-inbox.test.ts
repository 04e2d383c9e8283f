import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeClock } from "../testing/fake-clock.ts";
import { MemoryInbox, type MemoryInboxOptions } from "./memory-inbox.ts";

function inboxOf(options: Omit<MemoryInboxOptions, "clock"> = {}) {
  const clock = new FakeClock();
  return { clock, inbox: new MemoryInbox({ clock, ...options }) };
}

describe("an id", () => {
  it("is new, then busy, then done", () => {
    const { inbox } = inboxOf();
    expect(inbox.claim("g", "m")).toBe("new");
    expect(inbox.claim("g", "m")).toBe("busy");
    inbox.commit("g", "m");
    expect(inbox.claim("g", "m")).toBe("done");
    expect(inbox.size).toBe(1);
  });

  it("is new again when it was abandoned", () => {
    const { inbox } = inboxOf();
    inbox.claim("g", "m");
    inbox.abandon("g", "m");
    expect(inbox.claim("g", "m")).toBe("new");
    expect(inbox.size).toBe(0);
  });

  it("stays done when it is abandoned afterwards", () => {
    const { inbox } = inboxOf();
    inbox.claim("g", "m");
    inbox.commit("g", "m");
    inbox.abandon("g", "m");
    expect(inbox.claim("g", "m")).toBe("done");
  });

  it("belongs to one group", () => {
    const { inbox } = inboxOf();
    inbox.claim("g", "m");
    inbox.commit("g", "m");
    expect(inbox.claim("h", "m")).toBe("new");
    expect(inbox.claim("m", "g")).toBe("new");
  });

  it("is remembered for at least one horizon and at most two, whatever is handled before and after it", () => {
    const horizonMs = 1000;
    const steps = fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 10 });
    fc.assert(
      fc.property(
        steps,
        fc.nat(5000),
        fc.array(fc.integer({ min: 1, max: 1200 }), { maxLength: 5 }),
        (before, runMs, after) => {
          const { clock, inbox } = inboxOf({ horizonMs });
          let others = 0;
          const pass = (ms: number): void => {
            clock.advance(ms);
            const id = `other${others++}`;
            inbox.claim("g", id);
            inbox.commit("g", id);
          };
          for (const ms of before) pass(ms);
          inbox.claim("g", "m");
          clock.advance(runMs);
          inbox.commit("g", "m");
          for (const ms of after) pass(ms);

          const laterMs = after.reduce((sum, ms) => sum + ms, 0);
          const state = inbox.claim("g", "m");
          if (laterMs < horizonMs) expect(state).toBe("done");
          if (laterMs >= 2 * horizonMs) expect(state).toBe("new");
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is remembered after a handler that ran for longer than two horizons", () => {
    const { clock, inbox } = inboxOf({ horizonMs: 1000 });
    inbox.claim("g", "m");
    clock.advance(2500);
    inbox.commit("g", "m");
    expect(inbox.claim("g", "m")).toBe("done");
  });
});

describe("a flood of ids", () => {
  it("ends in OVERLOADED at the limit, those that are being handled included, and never forgets one for another", () => {
    const { clock, inbox } = inboxOf({ maxIds: 3, horizonMs: 1000 });
    inbox.claim("g", "a");
    inbox.commit("g", "a");
    inbox.claim("g", "b");
    inbox.commit("g", "b");
    inbox.claim("g", "c");
    expect(() => inbox.claim("g", "d")).toThrow(
      expect.objectContaining({ code: "OVERLOADED", retryable: true, details: { maxIds: 3 } }),
    );
    expect(inbox.claim("g", "a")).toBe("done");
    expect(inbox.claim("g", "c")).toBe("busy");

    clock.advance(2000);
    expect(inbox.claim("g", "d")).toBe("new");
  });
});

describe("an inbox", () => {
  it("needs no options", () => {
    expect(new MemoryInbox().claim("g", "m")).toBe("new");
  });

  it.each([
    ["horizonMs", 0],
    ["horizonMs", Number.NaN],
    ["horizonMs", "1h"],
    ["maxIds", -1],
    ["maxIds", 1n],
  ])("refuses a bad %s, naming it (%#)", (field, value) => {
    expect(() => new MemoryInbox({ [field]: value })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });
});
