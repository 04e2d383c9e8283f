import { describe, expect, it } from "vitest";
import { boundsOf, decodeState, encodeState, notesOf, type Note } from "./unit-state.ts";

const head = { topicId: "id-1", fresh: 30, out: 2 };
const note = (attempt: number, dueAt = 0): Note => ({ attempt, dueAt });

describe("what is kept with a committed offset", () => {
  it("is read back: what is fresh, how many are out, and every message below with its attempt and time", () => {
    const notes = new Map([
      [10, note(2)],
      [11, note(2)],
      [12, note(1)],
      [20, note(3, 1_700_000_000_123)],
    ]);

    const kept = decodeState(10, encodeState(10, head, notes));

    expect(kept).toEqual({ ...head, notes });
  });

  it("rounds times up: nothing may come early", () => {
    const text = encodeState(5, { ...head, fresh: 6 }, [[5, note(2, 1000.4)]]);

    expect(decodeState(5, text)?.notes.get(5)).toEqual(note(2, 1001));
  });

  it("leaves out what is fresh: it is read as it is", () => {
    const text = encodeState(5, { ...head, fresh: 6 }, new Map([[5, note(1)], [6, note(1)]])); // prettier-ignore

    expect([...(decodeState(5, text)?.notes.keys() ?? [])]).toEqual([5]);
  });

  it("forgets what does not fit: that is fresh then, and nothing is lost", () => {
    const notes = new Map(Array.from({ length: 3000 }, (_none, n) => [n * 2, note(1 + (n % 3))] as const));

    const text = encodeState(0, { ...head, fresh: 6000 }, notes);

    expect(text.length).toBeLessThanOrEqual(4096);
    const kept = decodeState(0, text);
    expect(kept?.fresh).toBeGreaterThan(500);
    expect(kept?.fresh).toBeLessThan(6000);
    const expected = [...notes].filter(([offset]) => offset < (kept?.fresh ?? 0));
    expect([...(kept?.notes ?? [])]).toEqual(expected);
  });

  it("has room for three hundred retries far from each other, each due at a time of its own", () => {
    const at = (n: number) => 1_700_000_000_000 + ((n * 7919) % 30_000);
    const notes = new Map(
      Array.from({ length: 300 }, (_none, n) => [n * 25, note(2 + (n % 3), at(n))] as const),
    );

    const kept = decodeState(0, encodeState(0, { ...head, fresh: 300 * 25 }, notes));

    expect(kept?.notes).toEqual(notes);
    expect(kept?.fresh).toBe(300 * 25);
  });

  it.each(["", "by another tool", "9;id;0;0;", null])("is nothing when it was written as %j", (text) => {
    expect(decodeState(7, text)).toBeUndefined();
  });
});

describe("the bounds of what is to be handled", () => {
  const at = (...offsets: readonly number[]) =>
    new Map(offsets.map((offset) => [offset, { attempt: 1, dueAt: 0, state: "queued" }]));

  it("are the end when everything is acknowledged", () => {
    expect(boundsOf(at(), 7)).toEqual({ low: 7, fresh: 7 });
  });

  it("are the first when nothing behind it was touched", () => {
    expect(boundsOf(at(3, 4, 5), 6)).toEqual({ low: 3, fresh: 3 });
  });

  it("keep what was acknowledged in between, and behind the last, from coming again", () => {
    expect(boundsOf(at(3, 5, 6), 7)).toEqual({ low: 3, fresh: 5 });
    expect(boundsOf(at(3, 4), 9)).toEqual({ low: 3, fresh: 9 });
  });

  it("reach over what was tried, waits or is out, which counts as the next attempt", () => {
    const pending = new Map([...at(3, 4, 5), [4, { attempt: 1, dueAt: 0, state: "out" }] as const]);

    expect(boundsOf(pending, 6)).toEqual({ low: 3, fresh: 5 });
    expect([...notesOf(pending)].map(([, { attempt }]) => attempt)).toEqual([1, 2, 1]);
  });
});
