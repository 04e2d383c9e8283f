import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isHeraldError } from "../core/errors.ts";
import { decodeJson, encodeJson } from "./json.ts";

const DEPTH = 64;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: unknown): string => new TextDecoder().decode(encodeJson(value, DEPTH));
const roundTrip = (value: unknown): unknown => decodeJson(encodeJson(value, DEPTH), DEPTH);
const decode = (json: string): unknown => decodeJson(utf8(json), DEPTH);

function refusal(run: () => unknown): { code: string; path?: unknown } {
  try {
    run();
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    return { code: error.code, ...error.details };
  }
  throw new Error("It was not refused.");
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

describe("a value that was encoded", () => {
  it("is equal when it is decoded, whatever JSON value it is", () => {
    const key = fc.string({ unit: "binary" }).filter((name) => name !== "__proto__");
    const { tree } = fc.letrec((tie) => ({
      leaf: fc.oneof(
        fc.string({ unit: "binary" }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.maxSafeInteger(),
        fc.boolean(),
        fc.constant(null),
        fc.constant(-0),
      ),
      tree: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        tie("leaf"),
        fc.array(tie("tree")),
        fc.dictionary(key, tie("tree"), { noNullPrototype: true }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(roundTrip(value)).toEqual(value);
      }),
      { numRuns: 2000 },
    );
  });

  it("is equal or was refused, whatever it is", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
    });
    fc.assert(
      fc.property(anything, (value) => {
        let bytes: Uint8Array;
        try {
          bytes = encodeJson(value, DEPTH);
        } catch (error) {
          expect(isHeraldError(error)).toBe(true);
          return;
        }
        // JSON.stringify alone drops the sign of a zero, which the codec keeps.
        const text = JSON.stringify(value, (_key, item: unknown) =>
          Object.is(item, -0) ? JSON.rawJSON("-0") : item,
        );
        expect(decodeJson(bytes, DEPTH)).toEqual(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  it.each<unknown>([
    -0,
    [-0, 0],
    { a: -0, b: { c: [-0] } },
    "\ud800",
    "a\udc00b",
    { "\udfff": 1 },
    5e-324,
    1.7976931348623157e308,
    Number.MAX_SAFE_INTEGER,
    2 ** 53 + 2,
    1e21,
    123_456_789_012_345_680_000,
    1e23,
    "",
    "\u0000\u2028\u2029\u007f",
    { "": { "": "" } },
    { constructor: 1, toString: "x", hasOwnProperty: null, prototype: {} },
    { constructor: { name: "x" } },
  ])("is equal: %#", (value) => {
    expect(roundTrip(value)).toEqual(value);
  });

  it("keeps the sign of a zero in its text", () => {
    expect(text([-0, 0, { a: -0 }])).toBe('[-0,0,{"a":-0}]');
  });

  it("leaves out what is undefined, and writes dates as they say of themselves", () => {
    expect(text({ a: undefined, at: new Date(0) })).toBe('{"at":"1970-01-01T00:00:00.000Z"}');
  });

  it("is as deep as the limit, and not one level deeper", () => {
    expect(roundTrip(nested(64))).toEqual(nested(64));
    expect(refusal(() => roundTrip(nested(65))).code).toBe("DEPTH_LIMIT");
    expect(refusal(() => decode("[".repeat(65) + "]".repeat(65))).code).toBe("DEPTH_LIMIT");
  });

  it("shares nothing with what it was made from, also beyond the size of a slab", () => {
    for (const size of [10, 20_000, 300_000]) {
      const first = encodeJson("a".repeat(size), DEPTH);
      const second = encodeJson("b".repeat(size), DEPTH);
      expect(decodeJson(first, DEPTH)).toBe("a".repeat(size));
      expect(decodeJson(second, DEPTH)).toBe("b".repeat(size));
    }
  });
});

describe("what JSON cannot carry is refused, with its path", () => {
  class Shop {
    name = "x";
  }
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;

  it.each<[string, unknown, string, string]>([
    ["NaN", { a: Number.NaN }, "UNSERIALIZABLE", "payload.a"],
    ["Infinity", [1, Infinity], "UNSERIALIZABLE", "payload[1]"],
    ["a function", { a: { b: () => {} } }, "UNSERIALIZABLE", "payload.a.b"],
    ["a symbol", [Symbol("x")], "UNSERIALIZABLE", "payload[0]"],
    ["a bigint", { n: 1n }, "UNSERIALIZABLE", "payload.n"],
    ["undefined in an array", [undefined], "UNSERIALIZABLE", "payload[0]"],
    ["a hole in an array", Array.from({ length: 1 }).concat(1), "UNSERIALIZABLE", "payload[0]"],
    ["a Map", { m: new Map([[1, 2]]) }, "UNSERIALIZABLE", "payload.m"],
    ["a Set", new Set([1]), "UNSERIALIZABLE", "payload"],
    ["a Promise", { p: Promise.resolve() }, "UNSERIALIZABLE", "payload.p"],
    ["an Error", { e: new Error("x") }, "UNSERIALIZABLE", "payload.e"],
    ["a RegExp", { r: /x/ }, "UNSERIALIZABLE", "payload.r"],
    ["bytes inside a value", { b: new Uint8Array(2) }, "UNSERIALIZABLE", "payload.b"],
    ["a boxed number", { n: new Object(1) }, "UNSERIALIZABLE", "payload.n"],
    ["an invalid date", { at: new Date(Number.NaN) }, "UNSERIALIZABLE", "payload.at"],
    ["a cycle", cycle, "DEPTH_LIMIT", `payload${".self".repeat(64)}`],
    ["a poisoned key", JSON.parse('{"a":{"__proto__":{"isAdmin":true}}}'), "UNSAFE_PAYLOAD", "payload.a"],
    ["a poisoned constructor", { constructor: { prototype: { x: 1 } } }, "UNSAFE_PAYLOAD", "payload"],
  ])("%s", (_name, value, code, path) => {
    expect(refusal(() => encodeJson(value, DEPTH))).toEqual({ code, path });
  });

  it("but an object of a class without surprises is its own properties", () => {
    expect(roundTrip(new Shop())).toEqual({ name: "x" });
    expect(roundTrip(Object.assign(Object.create(null) as object, { a: 1 }))).toEqual({ a: 1 });
  });

  it("and so is what throws when it is read, or changes its mind between two readings", () => {
    const thrower = Object.defineProperty({}, "a", {
      enumerable: true,
      get: () => {
        throw new TypeError("not for you");
      },
    });
    let calls = 0;
    class Fickle {
      toJSON(): unknown {
        return calls++ === 0 ? 1 : 1n;
      }
    }
    class Silent {
      toJSON(): unknown {
        return calls++ === 0 ? 1 : undefined;
      }
    }
    expect(refusal(() => encodeJson(thrower, DEPTH)).code).toBe("UNSERIALIZABLE");
    expect(refusal(() => encodeJson(new Fickle(), DEPTH)).code).toBe("UNSERIALIZABLE");
    calls = 0;
    expect(refusal(() => encodeJson(new Silent(), DEPTH)).code).toBe("UNSERIALIZABLE");
  });

  it("and what refers to itself crosswise, before anybody has walked all of it", () => {
    let value: unknown = [1];
    for (let i = 0; i < 60; i++) value = [value, value];

    expect(refusal(() => encodeJson(value, DEPTH)).code).toBe("MESSAGE_TOO_LARGE");
  });

  it("nesting of a million levels, without running out of stack", () => {
    expect(refusal(() => encodeJson(nested(10_000), DEPTH)).code).toBe("DEPTH_LIMIT");
    expect(refusal(() => encodeJson(nested(1_000_000), DEPTH)).code).toBe("DEPTH_LIMIT");
  });
});

describe("JSON that others wrote", () => {
  it.each([
    "9007199254740993",
    "-9007199254740993",
    '{"a":[9007199254740993]}',
    "1e400",
    "-1e400",
    "[1e999]",
    `1${"0".repeat(400)}`,
    "123456789012345678901",
  ])("is MALFORMED where it holds a number that would be changed: %s", (json) => {
    expect(refusal(() => decode(json)).code).toBe("MALFORMED");
  });

  it.each([
    ["9007199254740992", 2 ** 53],
    ["100000000000000000000", 1e20],
    ["1e22", 1e22],
    ["0.1", 0.1],
    ["0.10000000000000000555", 0.1],
    ["-0", -0],
    ["-0.0", -0],
    ["1E3", 1000],
    ["[9007199254740992, 1]", [2 ** 53, 1]],
  ])("is read where it holds %s", (json, value) => {
    expect(decode(json)).toEqual(value);
  });

  it("names the key of a number that cannot be held", () => {
    expect(refusal(() => decode('{"order":{"id":9007199254740993}}'))).toEqual({
      code: "MALFORMED",
      key: "id",
    });
  });

  it.each(["", " ", "{", "{'a':1}", "[1,]", "undefined", "NaN", "01", "\ufeff1", "nul", '"\n"', "1 2"])(
    "is MALFORMED where it is not JSON: %j",
    (json) => {
      expect(refusal(() => decode(json)).code).toBe("MALFORMED");
    },
  );

  it.each([
    [[0xff]],
    [[0x22, 0xff, 0x22]],
    [[0x22, 0xc3, 0x22]],
    [[0x22, 0xed, 0xa0, 0x80, 0x22]],
    [[0x22, 0xc0, 0x80, 0x22]],
  ])("is MALFORMED where it is not UTF-8: %j", (bytes) => {
    expect(refusal(() => decodeJson(Uint8Array.from(bytes), DEPTH)).code).toBe("MALFORMED");
  });

  it("keeps a replacement character that its author wrote", () => {
    expect(decode('"\ufffd"')).toBe("\ufffd");
  });

  it.each(['{"__proto__":{"isAdmin":true}}', '[{"a":{"__proto__":1}}]', '{"constructor":{"prototype":{}}}'])(
    "is UNSAFE_PAYLOAD where it would poison prototypes, and poisons none: %s",
    (json) => {
      expect(refusal(() => decode(json)).code).toBe("UNSAFE_PAYLOAD");
      expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    },
  );

  it("is DEPTH_LIMIT at 10,000 and at 1,000,000 levels, of arrays and of objects", () => {
    for (const depth of [10_000, 1_000_000]) {
      expect(refusal(() => decode("[".repeat(depth) + "]".repeat(depth))).code).toBe("DEPTH_LIMIT");
      expect(refusal(() => decode('{"a":'.repeat(depth) + "1" + "}".repeat(depth))).code).toBe("DEPTH_LIMIT");
    }
  });

  it("is a value or a named error, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeJson(bytes, DEPTH);
        } catch (error) {
          expect(isHeraldError(error)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("is a value or a named error, wherever a byte of it was changed", () => {
    const json = utf8('{"a":[1,-0,1e3,"é\\ud800",null,true],"constructor":{"b":9007199254740991}}');
    fc.assert(
      fc.property(fc.nat(json.length - 1), fc.nat(255), (at, byte) => {
        const bytes = json.slice();
        bytes[at] = byte;
        try {
          decodeJson(bytes, DEPTH);
        } catch (error) {
          expect(isHeraldError(error)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
