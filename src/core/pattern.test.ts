import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HeraldError } from "./errors.ts";
import {
  checkChannel,
  checkPattern,
  isChannelName,
  isWildcard,
  matchPattern,
  matchToken,
  patternsOverlap,
} from "./pattern.ts";

const HOSTILE: readonly (readonly [string, string])[] = [
  ["a path that climbs", "../../etc/passwd"],
  ["a Windows path that climbs", "..\\x"],
  ["a climb in the middle", "a/../b"],
  ["an absolute path", "/etc/passwd"],
  ["a home directory", "~"],
  ["a drive", "C:\\con"],
  ["a dot", "."],
  ["two dots", ".."],
  ["nothing", ""],
  ["a leading dot", ".a"],
  ["a trailing dot", "a."],
  ["an empty token", "a..b"],
  ["NUL", "a\0b"],
  ["CR LF", "a\r\nb"],
  ["a trailing newline", "a\n"],
  ["a space", "a b"],
  ["a right-to-left override", "a\u202eb"],
  ["a fullwidth slash", "a\uff0fb"],
  ["a fullwidth letter", "\uff41"],
  ["a letter with an accent", "caf\u00e9"],
  ["a lone surrogate", "a\ud800"],
  ["braces", "a{b}"],
  ["the wildcard of another technology", ">"],
  ["a regular expression", "a.(x+)+b"],
  ["5,000 characters", "a".repeat(5000)],
  ["201 characters", "a".repeat(201)],
];

function refusal(check: () => void): HeraldError {
  try {
    check();
  } catch (error) {
    return error as HeraldError;
  }
  throw new Error("It was accepted.");
}

const token = fc.stringMatching(/^[a-c_:-]{1,4}$/);
const channel = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join("."));

describe("channel names", () => {
  test.each([
    "a",
    "orders.created",
    "agent-x",
    "A_b:c-9.Z",
    "hub-broadcast",
    "a".repeat(200),
    "__proto__",
    "constructor",
  ])("%s is one", (name) => {
    expect(isChannelName(name)).toBe(true);
    expect(() => checkChannel(name)).not.toThrow();
  });

  test.each(HOSTILE)("%s is refused with INVALID_CHANNEL on one short line", (_what, name) => {
    expect(isChannelName(name)).toBe(false);
    for (const check of [() => checkChannel(name), () => checkPattern(name)]) {
      const error = refusal(check);
      expect(error.code).toBe("INVALID_CHANNEL");
      expect(error.message).toMatch(/^[\x20-\x7e\u00a1-\uffff]+$/);
      expect(error.message).not.toContain("\u202e");
      expect(error.message.length).toBeLessThan(300);
    }
  });

  test.each(["a.*", "*", "a.#", "#", "agent-*"])("%s is a pattern and no channel", (pattern) => {
    expect(refusal(() => checkChannel(pattern)).message).toContain("without wildcards");
    expect(() => checkPattern(pattern)).not.toThrow();
  });

  test.each([undefined, null, 5, 1n, Symbol("s"), {}, [], Object.create(null), ["a"], () => "a"])(
    "a value that is no text is refused with INVALID_CHANNEL: %#",
    (value) => {
      expect(refusal(() => checkChannel(value)).code).toBe("INVALID_CHANNEL");
      expect(refusal(() => checkPattern(value)).code).toBe("INVALID_CHANNEL");
    },
  );

  test("no text at all makes a check throw anything but INVALID_CHANNEL", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (name) => {
        if (isChannelName(name)) expect(name).toMatch(/^[A-Za-z0-9_:.-]{1,200}$/);
        else expect(refusal(() => checkChannel(name)).code).toBe("INVALID_CHANNEL");
      }),
    );
  });
});

describe("patterns", () => {
  test.each(["#.a", "a.#.b", "a#", "a.#b", "##", "a.##", "a.*.", "*.#.#"])(
    "%s is refused: # is a last token alone",
    (pattern) => {
      expect(refusal(() => checkPattern(pattern)).code).toBe("INVALID_CHANNEL");
    },
  );

  test.each([
    ["orders.*", "orders.created", true],
    ["orders.*", "orders", false],
    ["orders.*", "orders.created.eu", false],
    ["*", "orders", true],
    ["*", "orders.created", false],
    ["*.created", "orders.created", true],
    ["*.*", "orders.created", true],
    ["orders.#", "orders", true],
    ["orders.#", "orders.created", true],
    ["orders.#", "orders.created.eu", true],
    ["orders.#", "ordersx", false],
    ["#", "anything.at.all", true],
    ["*.#", "orders", true],
    ["orders.*.#", "orders", false],
    ["agent-*", "agent-scanner", true],
    ["agent-*", "agent-", true],
    ["agent-*", "agents", false],
    ["agent-*", "agent-a.b", false],
    ["*-eu", "orders-eu", true],
    ["a*c*e", "abcde", true],
    ["a*c*e", "abcd", false],
    ["a**b", "ab", true],
    ["Orders", "orders", false],
    ["orders.created", "orders.created", true],
    ["orders:1", "orders:1", true],
  ])("%s covers %s: %s", (pattern, name, covers) => {
    expect(() => checkPattern(pattern)).not.toThrow();
    expect(matchPattern(pattern, name)).toBe(covers);
  });

  test("a pattern without wildcards covers its own channel and no other", () => {
    fc.assert(
      fc.property(channel, channel, (a, b) => {
        expect(isWildcard(a)).toBe(false);
        expect(matchPattern(a, b)).toBe(a === b);
      }),
    );
  });

  test("in-token stars agree with a regular expression", () => {
    const glob = fc.stringMatching(/^[ab*]{1,6}$/);
    const text = fc.stringMatching(/^[ab]{1,8}$/);
    fc.assert(
      fc.property(glob, text, (pattern, name) => {
        const model = new RegExp(`^${pattern.replaceAll("*", "[ab]*")}$`);
        expect(matchToken(pattern, name)).toBe(model.test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test("a replaced token is covered by * in its place, and any tail by #", () => {
    fc.assert(
      fc.property(channel, fc.nat(), (name, at) => {
        const tokens = name.split(".");
        const starred = tokens.with(at % tokens.length, "*").join(".");
        const tailed = [...tokens.slice(0, at % (tokens.length + 1)), "#"].join(".");
        expect(matchPattern(starred, name)).toBe(true);
        expect(matchPattern(tailed, name)).toBe(true);
        expect(matchPattern(`${name}.*`, name)).toBe(false);
      }),
    );
  });

  test("a pattern made to backtrack takes steps in proportion to the product of the lengths", () => {
    let steps = 0;
    const pattern = counted("*a*a*a*a*a*a*a*a*b", () => steps++);
    expect(matchToken(pattern as string, "a".repeat(200))).toBe(false);
    expect(steps).toBeGreaterThan(0);
    expect(steps).toBeLessThan(4 * 18 * 200);
  });
});

describe("two patterns", () => {
  test.each([
    ["a.b", "a.b", true],
    ["a.b", "a.c", false],
    ["a.*", "a.b", true],
    ["a.*", "*.b", true],
    ["a.*", "b.*", false],
    ["a.#", "a", true],
    ["a.#", "b.#", false],
    ["#", "x.y", true],
    ["agent-*.x", "agents.x", false],
    ["agent-*.x", "agent-a.x", true],
    ["a.b", "a.b.c", false],
    ["a.b.#", "a.*", true],
  ])("%s and %s share a channel: %s", (a, b, expected) => {
    expect(patternsOverlap(a, b)).toBe(expected);
    expect(patternsOverlap(b, a)).toBe(expected);
  });

  test("that cover one channel overlap", () => {
    const hide = fc.array(fc.constantFrom("name", "*", "a*", "#"), { minLength: 5, maxLength: 5 });
    const made = (tokens: readonly string[], how: readonly string[]): string => {
      const rest = how.indexOf("#");
      const kept = tokens.slice(0, rest < 0 ? undefined : rest).map((one, at) => {
        if (how[at] === "*") return "*";
        return how[at] === "a*" ? `${one.slice(0, 1)}*` : one;
      });
      return [...kept, ...(rest < 0 || rest > tokens.length ? [] : ["#"])].join(".");
    };
    fc.assert(
      fc.property(channel, hide, hide, (name, one, other) => {
        const tokens = name.split(".");
        const [a, b] = [made(tokens, one), made(tokens, other)];
        expect([matchPattern(a, name), matchPattern(b, name)]).toEqual([true, true]);
        expect(patternsOverlap(a, b)).toBe(true);
      }),
    );
  });
});

/** A text that counts how often one of its characters is read. */
function counted(text: string, onRead: () => void): unknown {
  return new Proxy(Object(text) as object, {
    get(target, key) {
      if (typeof key === "string" && /^\d+$/.test(key)) onRead();
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
