import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchPattern } from "./pattern.ts";
import { coversPattern, patternsMeet } from "./pattern-sets.ts";

const LETTERS = ["a", "b"];
const TOKENS = [...LETTERS, ...LETTERS.flatMap((x) => LETTERS.map((y) => x + y))];
/** Every channel of one to three tokens of one or two letters. */
const CHANNELS = [1, 2, 3].flatMap((length) =>
  Array.from({ length }).reduce<string[]>(
    (names) => names.flatMap((name) => TOKENS.map((token) => (name === "" ? token : `${name}.${token}`))),
    [""],
  ),
);

const token = fc.constantFrom("a", "b", "ab", "*", "a*", "*b", "a*b", "*a*", "b*");
const pattern = fc
  .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, isOpen]) => [...tokens, ...(isOpen ? ["#"] : [])].join("."));
const anyPattern = fc.oneof({ weight: 8, arbitrary: pattern }, { weight: 1, arbitrary: fc.constant("#") });

describe("patterns as sets", () => {
  it("meet wherever a channel is covered by both", () => {
    fc.assert(
      fc.property(anyPattern, anyPattern, (one, other) => {
        const found = CHANNELS.some((name) => matchPattern(one, name) && matchPattern(other, name));
        // Two tokens of two letters cannot show every meeting of longer ones, but none that is not there.
        if (found) expect(patternsMeet(one, other)).toBe(true);
        expect(patternsMeet(one, other)).toBe(patternsMeet(other, one));
      }),
    );
  });

  it("cover only what no channel tells apart", () => {
    fc.assert(
      fc.property(anyPattern, anyPattern, (outer, inner) => {
        if (coversPattern(outer, inner)) {
          expect(CHANNELS.filter((name) => matchPattern(inner, name) && !matchPattern(outer, name))).toEqual(
            [],
          );
          expect(patternsMeet(outer, inner)).toBe(true);
        }
      }),
    );
  });

  it.each([
    ["#", "a.b", true],
    ["#", "#", true],
    ["#", "*.#", true],
    ["*.#", "#", true],
    ["a.#", "a", true],
    ["a.#", "a.*.b", true],
    ["a.*", "a.#", false],
    ["a.*", "a.b*", true],
    ["a.b*", "a.*", false],
    ["agent-*", "agent-1", true],
    ["agent-*", "agent-*x", true],
    ["agent-*x", "agent-*", false],
    ["*.b", "a.*", false],
    ["a", "a.#", false],
    ["a.b", "a", false],
  ])("'%s' covers '%s': %s", (outer, inner, expected) => {
    expect(coversPattern(outer, inner)).toBe(expected);
  });

  it.each([
    ["a.*", "*.b", true],
    ["a.#", "a", true],
    ["a.#", "#", true],
    ["a.*", "a", false],
    ["a.*", "b.*", false],
    ["agent-*", "agent.#", false],
    ["x*", "*y", true],
    ["xa*", "xb*", false],
    ["*xa", "*xb", false],
    ["a*b", "aaabbb", true],
    ["a.b", "a.b.c", false],
    ["*", "a.b", false],
  ])("'%s' and '%s' meet: %s", (one, other, expected) => {
    expect(patternsMeet(one, other)).toBe(expected);
  });
});
