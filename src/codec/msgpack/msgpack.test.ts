import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { isHeraldError } from "../../core/errors.ts";
import { decodeMessagePack, encodeMessagePack } from "./msgpack.ts";

const DEPTH = 64;
const encode = (value: unknown): Uint8Array => encodeMessagePack(value, DEPTH);
const decode = (bytes: Uint8Array): unknown => decodeMessagePack(bytes, DEPTH);
const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");
const hexOf = (value: unknown): string => Buffer.from(encode(value)).toString("hex");
/** Another implementation, as it is found in many programs. */
const other = new Packr({ useRecords: false, int64AsType: "bigint" });

function refusal(run: () => unknown): { code: string; path?: unknown; at?: unknown } {
  try {
    run();
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    return { code: error.code, ...error.details };
  }
  throw new Error("It was not refused.");
}

const text = fc.string({ unit: "binary" }).filter((value) => value.isWellFormed());
const key = fc.oneof(text, fc.string({ maxLength: 40 })).filter((name) => name !== "__proto__");
const { tree } = fc.letrec((tie) => ({
  leaf: fc.oneof(
    text,
    fc.string({ minLength: 20, maxLength: 300 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    fc.maxSafeInteger(),
    fc.integer(),
    fc.integer({ min: -200, max: 70_000 }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
  ),
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("tree"), { maxLength: 20 }),
    fc.dictionary(key, tie("tree"), { noNullPrototype: true }),
  ),
}));

/** Zeros without a sign: -0 is read, and not written. */
function positive(value: unknown): unknown {
  if (typeof value === "number") return value + 0;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(positive);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, positive(item)]));
}

/** What the other one makes of a value, bytes as they are here. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

describe("a value as MessagePack", () => {
  it("is equal when it is decoded, whatever JSON value it is, with bytes inside", () => {
    fc.assert(
      fc.property(tree, (value) => {
        expect(decode(encode(value))).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it("is read by another implementation as what it is, and the other way round", () => {
    fc.assert(
      fc.property(tree, (value) => {
        expect(plain(other.unpack(encode(value)))).toEqual(plain(value));
        expect(decode(other.pack(value))).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it.each<[unknown, string]>([
    [null, "c0"],
    [true, "c3"],
    [false, "c2"],
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [255, "ccff"],
    [256, "cd0100"],
    [65_535, "cdffff"],
    [65_536, "ce00010000"],
    [4_294_967_295, "ceffffffff"],
    [4_294_967_296, "cb41f0000000000000"],
    [Number.MAX_SAFE_INTEGER, "cb433fffffffffffff"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0df"],
    [-128, "d080"],
    [-129, "d1ff7f"],
    [-32_768, "d18000"],
    [-32_769, "d2ffff7fff"],
    [-2_147_483_648, "d280000000"],
    [-2_147_483_649, "cbc1e0000000200000"],
    [Number.MIN_SAFE_INTEGER, "cbc33fffffffffffff"],
    [1.5, "cb3ff8000000000000"],
    [2 ** 53, "cb4340000000000000"],
    ["", "a0"],
    ["é", "a2c3a9"],
    [[], "90"],
    [{}, "80"],
    [{ a: [1, "b"] }, "81a16192 01a162".replaceAll(" ", "")],
    [Uint8Array.of(1, 2), "c4020102"],
    [Buffer.from([255]), "c401ff"],
  ])("of %j is %s, as the specification has it", (value, expected) => {
    expect(hexOf(value)).toBe(expected);
    expect(decode(hex(expected))).toEqual(value instanceof Uint8Array ? new Uint8Array(value) : value);
  });

  it.each([31, 32, 33, 255, 256, 65_535, 65_536])(
    "holds text and bytes of %i bytes, lists and maps too",
    (size) => {
      const one = {
        t: "x".repeat(size),
        b: new Uint8Array(size).fill(7),
        l: Array.from({ length: size }, () => 1),
      };
      const keys = Object.fromEntries(
        Array.from({ length: Math.min(size, 70_000) }, (_none, at) => [`k${at}`, at]),
      );
      expect(decode(encode(one))).toEqual(one);
      expect(decode(encode(keys))).toEqual(keys);
      expect(plain(other.unpack(encode(one)))).toEqual(one);
    },
  );

  it("leaves out what is undefined, and lets dates and the like speak for themselves, as JSON does", () => {
    class Point {
      x = 1;
      readonly hidden = undefined;
      get y(): number {
        return 2;
      }
    }
    const value = {
      at: new Date(0),
      gone: undefined,
      point: new Point(),
      bare: Object.assign(Object.create(null), { a: 1 }),
    };
    expect(decode(encode(value))).toEqual(JSON.parse(JSON.stringify(value)));
  });

  it("may be made while another is made", () => {
    class Inner {
      toJSON(): string {
        return hexOf(["inner"]);
      }
    }
    expect(decode(encode(["a", new Inner(), "b"]))).toEqual(["a", "91a5696e6e6572", "b"]);
  });

  it("has bytes of its own, which the next one does not write over", () => {
    const first = encode("first");
    encode("other");
    expect(decode(first)).toBe("first");
  });

  it.each<[string, unknown, string]>([
    ["NaN", Number.NaN, "UNSERIALIZABLE"],
    ["an infinity", { a: Infinity }, "UNSERIALIZABLE"],
    ["-0, whose sign would be lost", { a: -0 }, "UNSERIALIZABLE"],
    ["a bigint", 1n, "UNSERIALIZABLE"],
    ["undefined in a list", [undefined], "UNSERIALIZABLE"],
    ["a function", { a: () => 1 }, "UNSERIALIZABLE"],
    ["a Map", new Map(), "UNSERIALIZABLE"],
    ["an ArrayBuffer", new ArrayBuffer(2), "UNSERIALIZABLE"],
    ["an invalid date", new Date(Number.NaN), "UNSERIALIZABLE"],
    ["half a surrogate pair", "\ud800", "UNSERIALIZABLE"],
    ["half a surrogate pair in a key", { ["x".repeat(50) + "\udc00"]: 1 }, "UNSERIALIZABLE"],
    ["a key __proto__", JSON.parse('{"__proto__":1}'), "UNSAFE_PAYLOAD"],
    ["a constructor's prototype", JSON.parse('{"constructor":{"prototype":1}}'), "UNSAFE_PAYLOAD"],
  ])("of %s is refused", (_name, value, code) => {
    expect(refusal(() => encode(value)).code).toBe(code);
  });

  it("too deep, in a circle, or that cannot be read, is refused, and what comes after it is written all the same", () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(refusal(() => encode(circle)).code).toBe("DEPTH_LIMIT");
    expect(refusal(() => encodeMessagePack([[1]], 1)).code).toBe("DEPTH_LIMIT");
    const fickle = {
      n: 0,
      get a(): unknown {
        return this.n++ === 0 ? 1 : () => 1;
      },
    };
    expect(refusal(() => encode(fickle)).code).toBe("UNSERIALIZABLE");
    expect(decode(encode("after"))).toBe("after");
  });
});

describe("the library", () => {
  it("is taken without its native part, so that the same bytes are read alike wherever it runs", () => {
    const { resolve } = createRequire(import.meta.url);
    expect(readFileSync(resolve("msgpackr/index-no-eval"), "utf8")).not.toContain("msgpackr-extract");
  });
});

describe("bytes that are no MessagePack of ours", () => {
  it.each<[string, string, string]>([
    ["nothing", "", "MALFORMED"],
    ["text cut short", "a5 61", "MALFORMED"],
    ["a number cut short", "cd 01", "MALFORMED"],
    ["bytes cut short", "c6 00000010 01", "MALFORMED"],
    ["a second value", "01 02", "MALFORMED"],
    ["the type that is none", "c1", "MALFORMED"],
    ["a timestamp", "d6ff 00000000", "MALFORMED"],
    ["an extension", "c7 01 05 00", "MALFORMED"],
    ["a record of msgpackr", "d4 72 40 91 a161 01", "MALFORMED"],
    ["text that is no UTF-8", "a2 fffe", "MALFORMED"],
    ["long text that is no UTF-8", `d9 20 ${"61".repeat(31)} ff`, "MALFORMED"],
    ["half a surrogate in UTF-8", "a3 eda080", "MALFORMED"],
    ["2^53 + 1", "cf 0020000000000001", "MALFORMED"],
    ["-2^53 - 1", "d3 ffdfffffffffffff", "MALFORMED"],
    ["2^64 - 1", "cf ffffffffffffffff", "MALFORMED"],
    ["NaN", "cb 7ff8000000000000", "MALFORMED"],
    ["an infinity of 32 bits", "ca 7f800000", "MALFORMED"],
    ["a key that is a number", "81 01 a161", "MALFORMED"],
    ["a key that is nil", "81 c0 a161", "MALFORMED"],
    ["a key that is bytes", "81 c40161 01", "MALFORMED"],
    ["a key __proto__", "81 a9 5f5f70726f746f5f5f 01", "UNSAFE_PAYLOAD"],
    ["a long form of the key __proto__", "81 d9 09 5f5f70726f746f5f5f 01", "UNSAFE_PAYLOAD"],
    [
      "a constructor's prototype",
      "81 ab 636f6e7374727563746f72 81 a9 70726f746f74797065 01",
      "UNSAFE_PAYLOAD",
    ],
    ["a list of four thousand million", "dd ffffffff", "MALFORMED"],
    ["a map of two thousand million", "df 7fffffff", "MALFORMED"],
    ["a text of four thousand million", "db ffffffff", "MALFORMED"],
  ])("(%s) are refused by name", (_name, bytes, code) => {
    expect(refusal(() => decode(hex(bytes))).code).toBe(code);
  });

  it("say where they are wrong", () => {
    expect(refusal(() => decode(hex("81 a161 92 01 81 a162 c1"))).at).toBe(9);
    expect(
      refusal(() => decode(hex("81 a161 81 ab 636f6e7374727563746f72 81 a9 70726f746f74797065 01"))).path,
    ).toBe("payload.a");
  });

  it("are refused when they are nested without end, at once and without a stack", () => {
    for (const level of [0x91, 0x81]) {
      const deep =
        level === 0x91 ? Buffer.alloc(1_000_000, level) : Buffer.from("81a161".repeat(300_000), "hex");
      expect(refusal(() => decode(deep)).code).toBe("DEPTH_LIMIT");
    }
    expect(refusal(() => decodeMessagePack(hex("9191 01"), 1)).code).toBe("DEPTH_LIMIT");
    expect(decodeMessagePack(hex("9191 01"), 2)).toEqual([[1]]);
  });

  it("make no more than they have room for: a length is believed only as far as the bytes go", () => {
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 1000; i++) expect(() => decode(hex("dd 01ffffff 00"))).toThrow();
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  it("of any kind are a value that comes out the same again, or are refused by name", () => {
    const known = new Set(["MALFORMED", "DEPTH_LIMIT", "UNSAFE_PAYLOAD"]);
    const mutated = fc.tuple(tree, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const bytes = Buffer.from(encode(value));
      bytes[at % bytes.byteLength] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        let value: unknown;
        try {
          value = decode(bytes);
        } catch (error) {
          expect(isHeraldError(error) && known.has(error.code)).toBe(true);
          return;
        }
        expect(decode(encode(positive(value)))).toEqual(positive(value));
      }),
      { numRuns: 2000 },
    );
  });

  it("are read as plain data of its own: bytes are copies, maps have the prototype of every object", () => {
    const bytes = Buffer.from("82a162c40101a16d80", "hex");
    const value = decode(bytes) as { b: Uint8Array; m: object };
    bytes.fill(0);
    expect(value).toEqual({ b: Uint8Array.of(1), m: {} });
    expect(Object.getPrototypeOf(value.m)).toBe(Object.prototype);
    expect(value.b.constructor).toBe(Uint8Array);
  });
});
