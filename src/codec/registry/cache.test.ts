import { describe, expect, it } from "vitest";
import { HeraldError } from "../../core/errors.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { Cache, type CacheOptions } from "./cache.ts";

/** A cache, and what it asked: answers come when the test gives them. */
function asking(more: Partial<CacheOptions> = {}) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const answers: PromiseWithResolvers<string>[] = [];
  const cache = new Cache<string>(
    { clock, maxEntries: 10, freshMs: Infinity, nothingMs: 1000, ...more },
    (key) => {
      asked.push(key);
      const answer = Promise.withResolvers<string>();
      answers.push(answer);
      return answer.promise;
    },
  );
  return { clock, cache, asked, answers };
}

const nothing = new HeraldError("NOT_FOUND", "No.");

describe("a cache of answers", () => {
  it("asks once, however many want it, and then gives it at once", async () => {
    const { cache, asked, answers } = asking();
    const all = Promise.all([cache.get("a"), cache.get("a"), cache.get("a")]);
    answers[0]?.resolve("x");

    expect(await all).toEqual(["x", "x", "x"]);
    expect(cache.get("a")).toBe("x");
    expect(asked).toEqual(["a"]);
  });

  it("believes for a while that there is nothing, and remembers no other failure", async () => {
    const { clock, cache, asked, answers } = asking();
    const first = cache.get("a");
    answers[0]?.reject(nothing);
    await expect(first).rejects.toBe(nothing);
    expect(() => cache.get("a")).toThrow(nothing);
    clock.advance(1001);

    const second = cache.get("a");
    answers[1]?.reject(new HeraldError("TIMEOUT", "Late."));
    await expect(second).rejects.toMatchObject({ code: "TIMEOUT" });
    const third = cache.get("a");
    answers[2]?.resolve("x");
    expect(await third).toBe("x");
    expect(asked).toHaveLength(3);
  });

  it("asks again in the background for what is no longer fresh, and goes on with it when nobody answers", async () => {
    const { clock, cache, asked, answers } = asking({ freshMs: 100 });
    const first = cache.get("a");
    answers[0]?.resolve("old");
    await first;
    clock.advance(101);

    expect([cache.get("a"), cache.get("a")]).toEqual(["old", "old"]);
    expect(asked).toHaveLength(2);
    answers[1]?.reject(new HeraldError("NOT_CONNECTED", "Away."));
    await clock.advanceAsync(50);
    expect(cache.get("a")).toBe("old");
    expect(asked).toHaveLength(2);
    await clock.advanceAsync(51);
    expect(cache.get("a")).toBe("old");
    answers[2]?.resolve("new");
    await clock.advanceAsync(0);
    expect(cache.get("a")).toBe("new");
  });

  it("keeps so many and no more, the longest unused going first, and forgets what it is told to", async () => {
    const { cache, asked, answers } = asking({ maxEntries: 2 });
    const learn = async (key: string): Promise<void> => {
      const value = cache.get(key);
      answers.at(-1)?.resolve(key);
      await value;
    };
    await learn("a");
    await learn("b");
    await cache.get("a");
    await learn("c");

    expect([cache.get("a"), cache.get("c")]).toEqual(["a", "c"]);
    expect(asked).toEqual(["a", "b", "c"]);
    cache.forget("a");
    expect(cache.get("a")).toBeInstanceOf(Promise);
  });
});
