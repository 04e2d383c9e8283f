import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CommandError,
  describeThrown,
  ERROR_CODES,
  HeraldError,
  isHeraldError,
  NoResponderError,
  RejectError,
  RequestTimeoutError,
  showValue,
  SnoozeError,
  toHeraldError,
} from "./errors.ts";

const unreadable = new Proxy(
  {},
  {
    get: () => {
      throw new Error("no");
    },
    getPrototypeOf: () => {
      throw new Error("no");
    },
  },
);

class EvilError extends Error {
  override get message(): string {
    throw new Error("no message for you");
  }
}

const cyclic: Record<string, unknown> = {};
cyclic["self"] = cyclic;

const WEIRD: readonly unknown[] = [
  undefined,
  null,
  0,
  Number.NaN,
  "",
  "text",
  1n,
  Symbol("s"),
  () => 1,
  {},
  [],
  Object.create(null),
  cyclic,
  unreadable,
  new EvilError("x"),
  new Error(),
  Object.assign(new Error("x"), { message: { odd: true } }),
  { toJSON: () => undefined },
  {
    toJSON: () => {
      throw new Error("no");
    },
  },
];

describe("HeraldError", () => {
  test("carries code, details and cause, and is an Error", () => {
    const cause = new Error("socket");
    const error = new HeraldError("NOT_CONNECTED", "It is gone.", { cause, details: { host: "h" } });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "HeraldError",
      code: "NOT_CONNECTED",
      message: "It is gone.",
      details: { host: "h" },
      cause,
    });
  });

  test("without a cause it has no property of that name", () => {
    expect("cause" in new HeraldError("TIMEOUT", "x")).toBe(false);
    expect(new HeraldError("TIMEOUT", "x").details).toEqual({});
  });

  test.each(Object.entries(ERROR_CODES))(
    "%s says of itself whether trying again can help: %s",
    (code, retryable) => {
      expect(new HeraldError(code, "x").retryable).toBe(retryable);
      expect(new HeraldError(code, "x", { retryable: !retryable }).retryable).toBe(!retryable);
    },
  );

  test.each(["ORDER_CLOSED", "", "toString", "constructor", "__proto__"])(
    "a code that is not Herald's own is not retryable: %s",
    (code) => {
      expect(new HeraldError(code, "x").retryable).toBe(false);
    },
  );

  test("the mark is invisible to JSON, to keys and to spreading", () => {
    const error = new HeraldError("TIMEOUT", "x");
    expect(Object.getOwnPropertySymbols(Object.assign({}, error))).toEqual([]);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: "HeraldError",
      code: "TIMEOUT",
      retryable: true,
      details: {},
    });
  });
});

describe("isHeraldError", () => {
  test("knows every subclass, and one of another copy of the package by its mark", () => {
    const foreign = Object.defineProperty(new Error("x"), Symbol.for("herald.error"), { value: true });
    const known = [
      new RejectError("no"),
      new SnoozeError(5),
      new CommandError("X", "x"),
      new NoResponderError("a"),
      foreign,
    ];
    for (const error of known) expect(isHeraldError(error)).toBe(true);
  });

  test("does not take a look-alike or anything odd for one, and does not throw", () => {
    const lookAlike = { name: "HeraldError", code: "TIMEOUT", message: "x", retryable: true, details: {} };
    for (const value of [lookAlike, new Error("x"), ...WEIRD]) expect(isHeraldError(value)).toBe(false);
  });
});

describe("the named subclasses", () => {
  test.each([
    [new RequestTimeoutError("agent.a.commands.x", 30), "RequestTimeoutError", "TIMEOUT", true],
    [new NoResponderError("agent.a.commands.x"), "NoResponderError", "NO_RESPONDER", true],
    [new CommandError("ORDER_CLOSED", "Closed.", { order: 1 }), "CommandError", "ORDER_CLOSED", true],
    [new RejectError("Never this one."), "RejectError", "REJECTED", false],
    [new SnoozeError(250), "SnoozeError", "CANCELLED", true],
  ])("%s has its name, code and chance", (error, name, code, retryable) => {
    expect(error).toBeInstanceOf(HeraldError);
    expect(error).toMatchObject({ name, code, retryable });
  });

  test("they say where and how long", () => {
    expect(new RequestTimeoutError("a.b", 30)).toMatchObject({ details: { channel: "a.b", timeoutMs: 30 } });
    expect(new RequestTimeoutError("a.b", 30).message).toContain("'a.b' within 30 ms");
    expect(new NoResponderError("a.b").message).toContain("'a.b'");
    expect(new SnoozeError(250)).toMatchObject({ delayMs: 250, details: { delayMs: 250 } });
    expect(new RejectError("x", { details: { a: 1 }, cause: "y" })).toMatchObject({
      details: { a: 1 },
      cause: "y",
    });
  });
});

describe("toHeraldError", () => {
  test("keeps a Herald error as it is", () => {
    const error = new RejectError("no");
    expect(toHeraldError(error, "HANDLER_FAILED")).toBe(error);
  });

  test("wraps an Error with its message and keeps it as the cause", () => {
    const cause = new TypeError("x is not a function");
    expect(toHeraldError(cause)).toMatchObject({ code: "INTERNAL", message: "x is not a function", cause });
    expect(toHeraldError(cause, "HANDLER_FAILED")).toMatchObject({ code: "HANDLER_FAILED", retryable: true });
  });

  test.each(WEIRD.map((value, at) => [at, value] as const))(
    "makes one line out of anything that is thrown: %i",
    (_at, thrown) => {
      const error = toHeraldError(thrown, "HANDLER_FAILED");
      expect(isHeraldError(error)).toBe(true);
      expect(error.message).toBeTypeOf("string");
      if (thrown !== "") expect(error.message).not.toBe("");
      expect(error.message).not.toMatch(/[\r\n]/);
      if (thrown !== undefined) expect(Object.is(error.cause, thrown)).toBe(true);
    },
  );
});

describe("describeThrown", () => {
  test("an Error without a message is known by its name", () => {
    expect(describeThrown(new RangeError())).toBe("RangeError");
  });

  test("several lines become one", () => {
    expect(describeThrown(new Error("a\r\nb\n\nc"))).toBe("a b c");
    expect(describeThrown("a\nb")).toBe("a b");
  });

  test("a thrown object is shown and cut", () => {
    expect(describeThrown({ code: 5 })).toContain('{"code":5}');
    expect(describeThrown({ text: "x".repeat(5000) }).length).toBeLessThan(200);
  });
});

describe("showValue", () => {
  test.each<[unknown, string]>([
    ["a", '"a"'],
    ["a\r\n\u001b[31mb", '"a\\r\\n\\u001b[31mb"'],
    ["a\u202eb\u200b", '"a\\u{202e}b\\u{200b}"'],
    ["a\u009bb\u2028", '"a\\u{9b}b\\u{2028}"'],
    [5, "5"],
    [Number.NaN, "NaN"],
    [null, "null"],
    [undefined, "undefined"],
    [{ a: [1] }, '{"a":[1]}'],
    [1n, "a value of type bigint"],
    [cyclic, "a value of type object"],
    [unreadable, "a value of type object"],
    [Symbol("s"), "Symbol(s)"],
  ])("value number %# is shown as one visible line", (value, text) => {
    expect(showValue(value)).toBe(text);
  });

  test("what is long is cut", () => {
    expect(showValue("x".repeat(5000))).toBe(`"${"x".repeat(80)}…"`);
    expect(showValue(["x".repeat(5000)], 10)).toBe('["xxxxxxxx…');
  });

  test("no value makes it throw or break the line", () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withMap: true }),
        (value) => {
          expect(showValue(value)).toMatch(/^[^\p{Cc}\p{Cf}\u2028\u2029]*$/u);
        },
      ),
    );
  });
});
