import * as fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { PatternTrie } from "./pattern-trie.ts";
import { matchPattern, matchToken } from "./pattern.ts";

vi.mock("./pattern.ts", async (original) => {
  const actual = await original<typeof import("./pattern.ts")>();
  return { ...actual, matchToken: vi.fn(actual.matchToken) };
});

const token = fc.constantFrom("a", "b", "ab", "constructor", "__proto__");
const patternToken = fc.oneof(token, fc.constantFrom("*", "a*", "*b", "*a*"));
const channel = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const pattern = fc
  .tuple(fc.array(patternToken, { maxLength: 4 }), fc.boolean())
  .map(([tokens, rest]) => (rest || tokens.length === 0 ? [...tokens, "#"] : tokens).join("."));
const pair = fc.record({ pattern, value: fc.integer({ min: 0, max: 5 }) });
const step = fc.record({ pair, add: fc.boolean() });

function ascending(a: number, b: number): number {
  return a - b;
}

interface Pair {
  readonly pattern: string;
  readonly value: number;
}

/** The same promise, kept by a list. */
class NaiveTrie {
  pairs: Pair[] = [];

  has(pair: Pair): boolean {
    return this.pairs.some((other) => other.pattern === pair.pattern && other.value === pair.value);
  }

  add(pair: Pair): void {
    if (!this.has(pair)) this.pairs.push(pair);
  }

  remove(pair: Pair): boolean {
    const before = this.pairs.length;
    this.pairs = this.pairs.filter((other) => other.pattern !== pair.pattern || other.value !== pair.value);
    return this.pairs.length < before;
  }

  match(name: string): number[] {
    const values = this.pairs
      .filter((other) => matchPattern(other.pattern, name))
      .map((other) => other.value);
    return [...new Set(values)].toSorted(ascending);
  }
}

beforeEach(() => {
  vi.mocked(matchToken).mockClear();
});

describe("what it finds", () => {
  test("it holds and finds the same as a list, through any run of adding and removing", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.array(channel, { minLength: 1, maxLength: 5 }),
        (steps, names) => {
          const trie = new PatternTrie<number>();
          const naive = new NaiveTrie();
          for (const { pair: each, add } of steps) {
            if (add) {
              trie.add(each.pattern, each.value);
              naive.add(each);
            } else expect(trie.remove(each.pattern, each.value)).toBe(naive.remove(each));
            expect(trie.size).toBe(naive.pairs.length);
          }
          for (const name of names) expect(trie.match(name).toSorted(ascending)).toEqual(naive.match(name));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a value under several patterns that cover a channel comes once", () => {
    const trie = new PatternTrie<string>();
    for (const each of ["a.b", "a.*", "a.#", "#", "*.b", "a*.b*"]) trie.add(each, "x");
    expect(trie.match("a.b")).toEqual(["x"]);
    expect(trie.size).toBe(6);
  });
});

describe("removing", () => {
  test("what was removed is gone, its neighbours stay, and removing it again is false", () => {
    const trie = new PatternTrie<string>();
    trie.add("a.b", "x");
    trie.add("a.b", "y");
    trie.add("a.b.#", "x");
    expect(trie.remove("a.b", "x")).toBe(true);
    expect(trie.remove("a.b", "x")).toBe(false);
    expect(trie.match("a.b").toSorted()).toEqual(["x", "y"]);
    expect(trie.remove("a.b.#", "x")).toBe(true);
    expect(trie.match("a.b")).toEqual(["y"]);
    expect(trie.size).toBe(1);
  });

  test("removing what was never there leaves no branch that a match would have to visit", () => {
    const trie = new PatternTrie<string>();
    trie.add("a", "x");
    for (let i = 0; i < 100; i++) expect(trie.remove(`a*${i}.b.*`, "x")).toBe(false);
    for (let i = 0; i < 100; i++) {
      trie.add(`a*${i}.b.*`, "x");
      trie.remove(`a*${i}.b.*`, "x");
    }
    expect(trie.match("a")).toEqual(["x"]);
    expect(matchToken).not.toHaveBeenCalled();
  });
});

describe("the work of a match", () => {
  test("10,000 more patterns without stars in their tokens cost a match no more comparisons", () => {
    const trie = new PatternTrie<number>();
    for (const [at, each] of ["orders.*.eu", "orders.created.#", "*.created.*"].entries()) trie.add(each, at);
    expect(trie.match("orders.created.eu").toSorted(ascending)).toEqual([0, 1, 2]);
    const alone = vi.mocked(matchToken).mock.calls.length;
    for (let i = 0; i < 10_000; i++) trie.add(`orders.c${i}.eu`, i);
    for (let i = 0; i < 10_000; i++) trie.add(`tenant-${i}.*.#`, i);
    vi.mocked(matchToken).mockClear();
    expect(trie.match("orders.created.eu").toSorted(ascending)).toEqual([0, 1, 2]);
    expect(alone).toBeGreaterThan(0);
    expect(matchToken).toHaveBeenCalledTimes(alone);
    expect(trie.size).toBe(20_003);
  });
});
