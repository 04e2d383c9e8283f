import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { judgePattern } from "./pattern-safety.ts";
import { parseRegex, type RegexNode } from "./regex-parse.ts";

const EXPONENTIAL = [
  "(a+)+",
  "^(a+)+$",
  "^(a|a)*$",
  "(a|aa)+",
  "(a*)*$",
  "^(a?b?)*$",
  "^(\\w+\\s?)*$",
  "^(([a-z])+.)+[A-Z]([a-z])+$",
  "^(.*a){10,}$",
  "^((b?|c?)a)*$",
  "^(a{1,2})*$",
  "^((b|)+a)*$",
  "(x+x+)+y",
  "(?=(a+)+$)a",
  "(a|b|ab)*c",
  "^(\\p{L}+)*$",
  "(a|a){30}$",
  "a?".repeat(30) + "a".repeat(30),
];

const SAFE = [
  "",
  "^$",
  "@",
  "[a-z]+",
  "\\.ts$",
  "^.*$",
  "\\bfoo\\b",
  "^CVE-\\d{4}-\\d{4,}$",
  "^[a-z]+(\\.[a-z]+)*$",
  "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
  "^(critical|creative|credit|cred|c)$",
  "^[A-Z]{2}\\d{2}[A-Z0-9]{11,30}$",
  "^(?=.*[A-Z])(?=.*\\d).{8,}$",
  "^\\p{L}[\\p{L}\\p{N} ]*$",
  "^\\u{1F600}[^\\u{1F600}]*$",
  "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
  "(?<!-)\\d{3}$",
  "^\\x41+\\u0042+\\u{43}+\\cD+\\0\\t$",
  "^\\uD83D\\uDE00+[\\uD83D\\uDE01-\\u{1F640}]+$",
  "^\\uD83D\\u0041+[\\b\\-x]+$",
  "^[^\\d\\s]+[\\D\\S]$",
];

const POLYNOMIAL = ["foo.*bar", "\\s+$", "^a.*b.*c$", "^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", "(?=a*b)c"];

describe("judging a pattern", () => {
  it.each(EXPONENTIAL)("refuses %s, because it can take exponential time", (pattern) => {
    expect(judgePattern(pattern)).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining("exponential"),
    });
  });

  it.each(SAFE)("lets %j pass, because its time grows with the text alone", (pattern) => {
    expect(judgePattern(pattern)).toEqual({ kind: "safe" });
  });

  it.each(POLYNOMIAL)(
    "gives %s a longest text, because its time grows with a power of the length",
    (pattern) => {
      const verdict = judgePattern(pattern);
      expect(verdict.kind).toBe("bounded");
      expect(verdict.kind === "bounded" && verdict.maxLength).toBeGreaterThan(100);
      expect(verdict.kind === "bounded" && verdict.maxLength).toBeLessThan(10_000);
    },
  );

  it.each([
    ["(", "not a regular expression"],
    ["a**", "not a regular expression"],
    ["(a)\\1", "back references"],
    ["(?<n>a)\\k<n>", "back references"],
    ["(?i:a)", "modifiers"],
    ["(?<=a+)b", "look-behind"],
    ["(a?){60}a{60}", "may be empty"],
    ["a".repeat(1001), "longer than 1000"],
    ["(a|b)".repeat(199) + "[", "not a regular expression"],
    ["(?:[a-z]{0,9}x){90}".repeat(8), "exponential"],
    ["[a-z]".repeat(180) + "[0-9]{100}".repeat(5), "too many parts"],
    [`^(?:${".|".repeat(300)}.)*$`, "too complex"],
  ])("refuses %s and says why", (pattern, reason) => {
    expect(judgePattern(pattern)).toMatchObject({ kind: "refused", reason: expect.stringContaining(reason) });
  });

  it("never runs the pattern it judges", () => {
    const ran: string[] = [];
    const spy = vi.spyOn(RegExp.prototype, "exec").mockImplementation(function (this: RegExp) {
      ran.push(this.source);
      return null;
    });
    for (const pattern of [...EXPONENTIAL, ...POLYNOMIAL]) judgePattern(pattern);
    spy.mockRestore();
    expect(ran.filter((source) => [...EXPONENTIAL, ...POLYNOMIAL].includes(source))).toEqual([]);
  });

  it("is itself quick on deeply nested groups, where every level could double its work", () => {
    expect(judgePattern("(?:".repeat(150) + ")+".repeat(150)).kind).toBe("safe");
    expect(judgePattern("(?:".repeat(150) + "a" + ")+".repeat(150)).kind).toBe("refused");
  });
});

/** Counts the steps of a plain backtracking matcher, as ECMA-262 describes it; stops at `limit`. */
function countSteps(root: RegexNode, text: string, limit: number): number {
  let steps = 0;
  const tick = () => {
    if (++steps > limit) throw new Error("limit");
  };
  type Next = (at: number) => boolean;
  const match = (node: RegexNode, at: number, next: Next): boolean => {
    tick();
    switch (node.kind) {
      case "chars": {
        const char = text.codePointAt(at);
        if (char === undefined) return false;
        const isIn = node.set.some(
          (from, i) => i % 2 === 0 && char >= from && char <= (node.set[i + 1] ?? -1),
        );
        return isIn && next(at + 1);
      }
      case "sequence": {
        const step = (index: number, from: number): boolean => {
          const item = node.items[index];
          return item === undefined ? next(from) : match(item, from, (to) => step(index + 1, to));
        };
        return step(0, at);
      }
      case "choice":
        return node.items.some((item) => match(item, at, next));
      case "repeat": {
        const turn = (done: number, from: number): boolean => {
          tick();
          const again = (to: number) => (to === from && done >= node.min ? false : turn(done + 1, to));
          if (done < node.max && match(node.item, from, again)) return true;
          return done >= node.min && next(from);
        };
        return turn(0, at);
      }
      case "look":
        return match(node.item, at, () => true) && next(at);
      case "end":
        return at === text.length && next(at);
      case "start":
        return at === 0 && next(at);
      case "boundary":
        return next(at);
    }
  };
  try {
    for (let at = 0; at <= text.length && !match(root, at, () => true); at++) tick();
    return steps;
  } catch {
    return Infinity;
  }
}

const quantifier = fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{2,}", "{0,3}");
const pattern = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 6, depthSize: "max" },
    fc.constantFrom("a", "b", "[ab]", "."),
    fc.tuple(tie("node"), tie("node")).map(([a, b]) => a + b),
    fc.tuple(tie("node"), tie("node")).map(([a, b]) => `(?:${a}|${b})`),
    fc.tuple(tie("node"), quantifier).map(([a, q]) => `(?:${a})${q}`),
    tie("node").map((a) => `(?=${a})`),
    tie("node").map((a) => `(?:${a}|)`),
  ),
})).node;
const wholePattern = fc
  .tuple(fc.constantFrom("", "^"), pattern, fc.constantFrom("", "$", "x"))
  .map(([start, middle, end]) => `${start}${middle}${end}`);
const texts = ["a", "b", "ab", "ba", "aab", "abb"];

/** How many times more steps a text takes that is twice as long; the most of six lengths, because many patterns count to two or three. */
function growth(
  source: string,
  { part, tail, turns }: { part: string; tail: string; turns: number },
): number {
  const root = parseRegex(source);
  const most = (from: number) =>
    Math.max(
      ...Array.from({ length: 6 }, (_, more) =>
        countSteps(root, part.repeat(from + more) + tail, 30_000_000),
      ),
    );
  return most(turns * 2) / most(turns);
}

describe("the verdict, held against a matcher that counts its steps", () => {
  it("is never safe for a pattern whose steps outgrow the text", () => {
    fc.assert(
      fc.property(wholePattern, fc.constantFrom(...texts), fc.constantFrom("", "!"), (source, part, tail) => {
        if (judgePattern(source).kind !== "safe") return;
        // Twice for what is linear, four times for what is quadratic.
        expect(growth(source, { part, tail, turns: 30 })).toBeLessThan(3);
      }),
      { numRuns: 3000 },
    );
  });

  it("holds of a cubic pattern whose steps are more than are counted, and not of an exponential one", () => {
    const cubic =
      "^(?:.){2,}(?:(?:(?:a|)|(?:[ab])*)){1,2}(?:(?:(?:(?=a))*|)|a)[ab](?:(?:[ab]){1,2}|)(?:(?:b|(?=(?:a){1,2}))|)x";
    expect(growth(cubic, { part: "abb", tail: "", turns: 6 })).toBeLessThan(10);
    expect(growth("^(?:a+)+$", { part: "a", tail: "!", turns: 6 })).toBeGreaterThan(30);
  });

  it("is never a longest text for a pattern whose steps grow exponentially", () => {
    fc.assert(
      fc.property(wholePattern, fc.constantFrom(...texts), fc.constantFrom("", "!"), (source, part, tail) => {
        const verdict = judgePattern(source);
        // A cubic pattern takes eight times the steps, an exponential one a hundred times or more.
        if (verdict.kind === "bounded" && verdict.maxLength > 200) {
          const grown = growth(source, { part, tail, turns: 12 });
          if (Number.isFinite(grown)) expect(grown).toBeLessThan(30);
          // A cubic pattern of many branches may take more steps than are counted. Half as long it takes 3 times the steps, an exponential one 64.
          else expect(growth(source, { part, tail, turns: 6 })).toBeLessThan(10);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
