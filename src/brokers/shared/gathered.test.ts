import { describe, expect, it } from "vitest";
import { Gathered } from "./gathered.ts";

/** A gathering whose calls are noted, and answered with the item in capitals. */
function noting(most?: number) {
  const calls: string[] = [];
  const gathered = new Gathered(async (name: string, items: readonly string[]) => {
    calls.push(`${name} ${items.join(",")}`);
    return items.map((item) => item.toUpperCase());
  }, most);
  return { calls, gathered };
}

describe("what is asked in one turn", () => {
  it("is one call for each name, and everybody gets the own answer", async () => {
    const { calls, gathered } = noting();
    const asked = [gathered.ask("x", "a"), gathered.ask("y", "b"), gathered.ask("x", "c")];

    expect(await Promise.all(asked)).toEqual(["A", "B", "C"]);
    expect(calls).toEqual(["x a,c", "y b"]);
  });

  it("is one call with what those ask who run once a promise has resolved", async () => {
    const { calls, gathered } = noting();
    const late = async (item: string): Promise<string> => {
      for (let i = 0; i < item.length * 5; i++) await Promise.resolve();
      return gathered.ask("x", item);
    };

    expect(await Promise.all([gathered.ask("x", "a"), late("b"), late("cc")])).toEqual(["A", "B", "CC"]);
    expect(calls).toEqual(["x a,b,cc"]);
  });

  it.each([
    [undefined, 3],
    [250, 3],
    [599, 2],
    [600, 1],
  ])("is several calls when it is more than %s", async (most, count) => {
    const { calls, gathered } = noting(most);
    const items = Array.from({ length: 600 }, (_, n) => `i${n}`);

    expect(await Promise.all(items.map((item) => gathered.ask("x", item)))).toEqual(
      items.map((item) => item.toUpperCase()),
    );
    expect(calls).toHaveLength(count);
    expect(calls.map((call) => call.slice(2)).join(",")).toBe(items.join(","));
  });

  it("fails for all of it when the call does, and for nothing that is asked later", async () => {
    let isBroken = true;
    const gathered = new Gathered(async (_name: string, items: readonly number[]) => {
      if (isBroken) throw new Error("away");
      return items;
    });
    const asked = [gathered.ask("x", 1), gathered.ask("x", 2)];
    for (const one of asked) await expect(one).rejects.toThrow("away");
    isBroken = false;

    expect(await gathered.ask("x", 3)).toBe(3);
  });
});
