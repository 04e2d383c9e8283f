import { describe, expect, it } from "vitest";
import { ORDER, ORDER_AVRO, ORDER_SCHEMA } from "../../../test/codec/vectors.ts";
import { AvroSchema } from "./avro.ts";

const DEPTH = 64;
const schema = (value: unknown, references: unknown[] = []): AvroSchema =>
  new AvroSchema(
    JSON.stringify(value),
    references.map((one) => JSON.stringify(one)),
  );
const record = (...fields: [string, unknown][]): object => ({
  type: "record",
  name: "R",
  fields: fields.map(([name, type]) => ({ name, type })),
});
const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");
const code = (expected: string) => expect.objectContaining({ code: expected });
const list = { type: "array", items: "int" };

describe("a value as Avro", () => {
  it("is what the registry's clients write, and plain data when it is read", () => {
    const order = schema(ORDER_SCHEMA);
    expect(Buffer.from(order.encode(ORDER, DEPTH)).toString("hex")).toBe(ORDER_AVRO);
    const read = order.decode(hex(ORDER_AVRO), DEPTH) as typeof ORDER;

    expect(read).toEqual(ORDER);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(read.blob.constructor).toBe(Uint8Array);
    expect(order.recordName).toBe("shop.Order");
    expect(schema("string").recordName).toBeUndefined();
  });

  it.each<[string, unknown, unknown]>([
    ["null", "null", null],
    ["a boolean", "boolean", true],
    ["an int", "int", -(2 ** 31)],
    ["a long", "long", Number.MIN_SAFE_INTEGER],
    ["a time", { type: "long", logicalType: "timestamp-micros" }, -(2 ** 53) + 2],
    ["a union of numbers", ["null", "long", "double"], { long: -(2 ** 53) + 2 }],
    ["a union with longs", ["null", { type: "array", items: { type: "long" } }], [-(2 ** 53) + 2]],
    [
      "longs",
      { type: "array", items: "long" },
      [-(2 ** 53) + 2, Number.MAX_SAFE_INTEGER, -(2 ** 52) - 1, 0, -1],
    ],
    ["a double", "double", -0],
    ["bytes", "bytes", Uint8Array.of(1, 2)],
    ["fixed bytes", { type: "fixed", name: "F", size: 2 }, Uint8Array.of(1, 2)],
    ["a union", ["null", "string", "double"], "x"],
    ["a union of alike", ["int", "long", { type: "enum", name: "E", symbols: ["A"] }], { long: 5 }],
    ["a list", { type: "array", items: ["null", "string"] }, [null, "a"]],
    ["a map", { type: "map", values: list }, { a: [1, 2], "": [] }],
    ["a logical type", { type: "long", logicalType: "timestamp-millis" }, 1_700_000_000_000],
    [
      "a record in itself",
      { type: "record", name: "N", fields: [{ name: "next", type: ["null", "N"] }] },
      { next: { next: null } },
    ],
  ])("of %s comes back as it was", (_name, type, value) => {
    const it = schema(type);
    expect(it.decode(it.encode(value, DEPTH), DEPTH)).toEqual(value);
  });

  it("lets dates and the like speak for themselves, and fills in what the schema has a default for", () => {
    const type = {
      ...record(["at", "string"]),
      fields: [
        { name: "at", type: "string" },
        { name: "n", type: "int", default: 7 },
      ],
    };
    const it = schema(type);
    expect(it.decode(it.encode({ at: new Date(0), n: undefined }, DEPTH), DEPTH)).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      n: 7,
    });
  });

  it.each<[string, unknown, unknown, string]>([
    ["the wrong kind", record(["a", "int"]), { a: "secret" }, "SCHEMA_VIOLATION"],
    ["a fraction for an int", "int", 1.5, "SCHEMA_VIOLATION"],
    ["an int that is too large", "int", 2 ** 31, "SCHEMA_VIOLATION"],
    ["a long that is not exact", "long", 2 ** 53, "SCHEMA_VIOLATION"],
    ["an absent field", record(["a", "int"]), {}, "SCHEMA_VIOLATION"],
    ["a field too many", record(["a", "int"]), { a: 1, more: "secret" }, "SCHEMA_VIOLATION"],
    ["a symbol that is none", { type: "enum", name: "E", symbols: ["A"] }, "B", "SCHEMA_VIOLATION"],
    ["bytes for text", "string", Uint8Array.of(1), "SCHEMA_VIOLATION"],
    ["null where there is none", "string", null, "SCHEMA_VIOLATION"],
    ["a list for a map", { type: "map", values: "int" }, [1], "SCHEMA_VIOLATION"],
    ["half a surrogate pair", "string", "\ud800", "UNSERIALIZABLE"],
    ["half a surrogate pair in a key", { type: "map", values: "int" }, { "\ud800": 1 }, "UNSERIALIZABLE"],
    ["-0 for an int", record(["a", list]), { a: [1, -0] }, "UNSERIALIZABLE"],
    ["NaN", "double", Number.NaN, "UNSERIALIZABLE"],
    ["a function", "string", () => 1, "UNSERIALIZABLE"],
    ["a key __proto__", { type: "map", values: "int" }, JSON.parse('{"__proto__":1}'), "UNSAFE_PAYLOAD"],
  ])("of %s is refused, and what it holds is not told", (_name, type, value, expected) => {
    const it = schema(type);
    expect(() => it.encode(value, DEPTH)).toThrow(code(expected));
    expect(() => it.encode(value, DEPTH)).not.toThrow("secret");
  });

  it("says where it does not fit", () => {
    const it = schema(record(["a", { type: "array", items: { ...record(["b", "int"]), name: "Item" } }]));
    expect(() => it.encode({ a: [{ b: "x" }] }, DEPTH)).toThrow(/a\.0\.b is of type string.*int/);
    expect(() => schema(record(["a", "int"])).encode({ a: 1, b: 2 }, DEPTH)).toThrow(/has not: "b"/);
  });
});

describe("a schema that is not to be trusted", () => {
  const deep = (levels: number): unknown => {
    let type: unknown = "int";
    for (let i = 0; i < levels; i++) type = { type: "array", items: type };
    return type;
  };

  it.each<[string, string]>([
    ["no JSON", "{"],
    ["no schema", "{}"],
    ["a type that is none", '"nonsense"'],
    ["code for a name", JSON.stringify(record(["a); process.exit(1); (", "int"]))],
    ["code for a record's name", JSON.stringify({ ...record(), name: "R(){}; process.exit(1); function x" })],
    ["code for a symbol", JSON.stringify({ type: "enum", name: "E", symbols: ["a'+process.exit(1)+'"] })],
    ["the name __proto__", JSON.stringify(record(["__proto__", "int"]))],
    ["5,000 levels", JSON.stringify(deep(1000)).slice(0, 200_000)],
    ["100 levels", JSON.stringify(deep(100))],
    ["half a megabyte", JSON.stringify({ ...record(), doc: "x".repeat(500_000) })],
    ["a name twice", JSON.stringify([record(), record()])],
  ])("(%s) is UNSAFE_SCHEMA, and nothing of it is run", (_name, text) => {
    expect(() => new AvroSchema(text)).toThrow(code("UNSAFE_SCHEMA"));
  });

  it("may name what it was given, and nothing else", () => {
    expect(schema(record(["a", "Other"]), [{ ...record(["n", "int"]), name: "Other" }]).recordName).toBe("R");
    expect(() => schema(record(["a", "Other"]))).toThrow(code("UNSAFE_SCHEMA"));
  });
});

describe("Avro bytes that are not to be trusted", () => {
  const node = { type: "record", name: "N", fields: [{ name: "next", type: ["null", "N"] }] };

  it.each<[string, unknown, string, string]>([
    ["a list of two thousand million in five bytes", list, "fe ff ff ff 0f", "MALFORMED"],
    [
      "nulls of two thousand million in five bytes",
      { type: "array", items: "null" },
      "fe ff ff ff 0f 00",
      "MESSAGE_TOO_LARGE",
    ],
    [
      "empty records without number",
      { type: "array", items: record() },
      "fe ff ff ff 0f 00",
      "MESSAGE_TOO_LARGE",
    ],
    ["a map of two thousand million", { type: "map", values: "int" }, "fe ff ff ff 0f", "MALFORMED"],
    ["a list of 2^63 items", list, "fe ff ff ff ff ff ff ff ff 01", "MALFORMED"],
    ["a block whose size is below 0", list, "01 01 02", "MALFORMED"],
    ["text that is longer than the body", "string", "0a 61", "MALFORMED"],
    ["text of less than no length", "string", "01", "MALFORMED"],
    ["text that is no UTF-8", "string", "04 ff fe", "MALFORMED"],
    ["fixed bytes that are cut short", { type: "fixed", name: "F", size: 4 }, "01", "MALFORMED"],
    ["a double that is cut short", "double", "00 00", "MALFORMED"],
    ["a number without end", "long", "ff ff ff ff ff ff ff ff ff ff ff", "MALFORMED"],
    ["a long that cannot be held exactly", "long", "ff ff ff ff ff ff ff ff ff 01", "MALFORMED"],
    ["a boolean that is neither", "boolean", "02", "MALFORMED"],
    ["a branch that a union has not", ["null", "int"], "04", "MALFORMED"],
    ["a branch below 0", ["null", "int"], "01", "MALFORMED"],
    ["a symbol that an enum has not", { type: "enum", name: "E", symbols: ["A"] }, "02", "MALFORMED"],
    ["something behind the end", "int", "02 02", "MALFORMED"],
    ["nothing", "int", "", "MALFORMED"],
    ["NaN", "double", "00 00 00 00 00 00 f8 7f", "MALFORMED"],
    ["an infinity", { type: "array", items: "float" }, "02 00 00 80 7f 00", "MALFORMED"],
    ["a key __proto__", { type: "map", values: "int" }, "02 12 5f5f70726f746f5f5f 02 00", "UNSAFE_PAYLOAD"],
    ["records in each other without end", node, "02".repeat(100_000), "DEPTH_LIMIT"],
  ])("(%s) are refused by name", (_name, type, bytes, expected) => {
    const startedAt = process.cpuUsage();
    expect(() => schema(type).decode(hex(bytes), DEPTH)).toThrow(code(expected));
    expect(process.cpuUsage(startedAt).user / 1000).toBeLessThan(2000);
  });

  it("may come in blocks that say their size", () => {
    expect(schema(list).decode(hex("03 06 02 04 02 06 00"), DEPTH)).toEqual([1, 2, 3]);
  });

  it("of a kind that does not go with the reader's schema are SCHEMA_VIOLATION", () => {
    const [writer, reader] = [schema(record(["a", "string"])), schema(record(["a", "int"]))];
    const body = writer.encode({ a: "x" }, DEPTH);
    expect(() => writer.decode(body, DEPTH, reader)).toThrow(code("SCHEMA_VIOLATION"));
    expect(writer.decode(body, DEPTH, schema(record(["a", "string"])))).toEqual({ a: "x" });
    expect(writer.decode(body, DEPTH, schema(record(["a", ["null", "string"]])))).toEqual({ a: "x" });
    // An int may be read as a long, a long as a double.
    const [int, long] = [schema("int"), schema("long")];
    expect(int.decode(int.encode(-5, DEPTH), DEPTH, long)).toBe(-5);
    expect(long.decode(long.encode(2 ** 40, DEPTH), DEPTH, schema("double"))).toBe(2 ** 40);
  });
});
