import { describe, expect, it } from "vitest";
import { Together } from "./together.ts";

/** Doubles numbers, and keeps what it was asked. */
function doubling(most: number) {
  const asked: (readonly number[])[] = [];
  const together = new Together<number, number>(most, async (keys) => {
    asked.push(keys);
    return new Map(keys.filter((key) => key > 0).map((key) => [key, key * 2]));
  });
  return { asked, together };
}

describe("questions that are asked together", () => {
  it("go as one when they are of one turn, each once, and as another in the next", async () => {
    const { asked, together } = doubling(100);

    expect(await Promise.all([together.get(1), together.get(2), together.get(1)])).toEqual([2, 4, 2]);
    expect(await together.get(1)).toBe(2);

    expect(asked).toEqual([[1, 2], [1]]);
  });

  it("go as several when they are more than may go as one", async () => {
    const { asked, together } = doubling(2);

    await Promise.all([1, 2, 3, 4, 5].map((key) => together.get(key)));

    expect(asked).toEqual([[1, 2], [3, 4], [5]]);
  });

  it("fail alone where the answer leaves them out, and all where there is none", async () => {
    const { together } = doubling(100);
    const results = await Promise.allSettled([together.get(1), together.get(-1)]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(results[1]).toMatchObject({ reason: { code: "NOT_CONNECTED" } });

    const silent = new Together<number, number>(100, () => Promise.reject(new Error("nobody answers")));
    const failures = await Promise.allSettled([silent.get(1), silent.get(2)]);
    expect(failures.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });
});
