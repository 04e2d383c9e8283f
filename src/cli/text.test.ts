import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { count, cut, jsonText, pad, printable, widthOf, wrap } from "./text.ts";

// oxlint-disable-next-line no-control-regex -- control characters are what must not be left.
const STEERS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

describe("printable", () => {
  it("escapes what could steer a terminal and leaves the rest", () => {
    expect(printable("a\u001b[31mb\nc\td\u009bm\u202ee é 漢")).toBe(
      "a\\u{1b}[31mb\\nc\\td\\u{9b}m\\u{202e}e é 漢",
    );
  });

  it("leaves no control character in any text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => !STEERS.test(printable(text))));
  });
});

describe("jsonText", () => {
  it("says the same value, with nothing in it that steers a terminal", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = jsonText(value);
        expect(text).not.toMatch(STEERS);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("escapes the controls that JSON leaves as they are", () => {
    expect(jsonText("\u009b31m\u202e")).toBe('"\\u009b31m\\u202e"');
  });

  it("writes bytes in base64", () => {
    expect(jsonText({ body: new Uint8Array([1, 2]) })).toBe('{"body":"AQI="}');
  });

  it("writes null for what JSON has no word for", () => {
    expect(jsonText(undefined)).toBe("null");
  });
});

describe("widthOf, cut and pad", () => {
  it("counts a wide character as two columns and a combined one as one", () => {
    expect(["abc", "漢字", "e\u0301", "✅"].map(widthOf)).toEqual([3, 4, 1, 2]);
  });

  it("cuts to the width with an ellipsis, and never through a wide character", () => {
    expect([cut("abcdef", 4), cut("漢字漢字", 5), cut("abc", 3), cut("abc", 0)]).toEqual([
      "abc…",
      "漢字…",
      "abc",
      "",
    ]);
  });

  it("never gives more columns than asked for", () => {
    const texts = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }));
    fc.assert(fc.property(texts, fc.nat(30), (text, max) => widthOf(cut(printable(text), max)) <= max));
  });

  it("fills up on the side that is asked for", () => {
    expect([pad("ab", 4), pad("ab", 4, "right"), pad("abc", 2)]).toEqual(["ab  ", "  ab", "abc"]);
  });
});

describe("wrap", () => {
  it("breaks at spaces, and a long word where it must", () => {
    expect(wrap("one two three", 8)).toEqual(["one two", "three"]);
    expect(wrap("abcdefghijkl", 10, "  ")).toEqual(["  abcdefgh", "  ijkl"]);
  });

  it("puts one indent before the first line and another before those that follow", () => {
    expect(wrap("one two three four", 12, "", "  ")).toEqual(["one two", "  three four"]);
  });

  it("leaves a text alone that fits", () => {
    expect(wrap("a  b", 80, " ")).toEqual([" a  b"]);
  });
});

describe("count", () => {
  it("has a plural", () => {
    expect([count(0, "agent"), count(1, "agent"), count(2, "agent")]).toEqual([
      "0 agents",
      "1 agent",
      "2 agents",
    ]);
  });
});
