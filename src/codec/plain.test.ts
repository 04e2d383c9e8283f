import { describe, expect, it } from "vitest";
import { plainCopy } from "./plain.ts";

const copy = (value: unknown): unknown => plainCopy(value, 64);
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("a plain copy", () => {
  it("is what the payload was, whatever its author makes of it afterwards", () => {
    const payload = { list: [1, { a: -0 }], bytes: Buffer.from([1, 2]), text: "\ud800" };
    const copied = copy(payload) as typeof payload;
    payload.list.push(2);
    payload.bytes.fill(9);

    expect(copied).toEqual({ list: [1, { a: -0 }], bytes: Uint8Array.of(1, 2), text: "\ud800" });
    expect(copied.bytes.constructor).toBe(Uint8Array);
  });

  it("is of plain objects: classes lose their prototype, dates speak for themselves, undefined is absent", () => {
    class Order {
      readonly id = 1;
      readonly at = new Date(0);
      readonly gone = undefined;
    }
    const copied = copy([new Order()]) as [object];

    expect(copied).toEqual([{ id: 1, at: "1970-01-01T00:00:00.000Z" }]);
    expect(Object.getPrototypeOf(copied[0])).toBe(Object.prototype);
    expect(Object.keys(copied[0])).toEqual(["id", "at"]);
  });

  it.each<[string, unknown, string]>([
    ["undefined", undefined, "UNSERIALIZABLE"],
    ["a function", { a: () => 1 }, "UNSERIALIZABLE"],
    ["NaN", [Number.NaN], "UNSERIALIZABLE"],
    ["a key __proto__", JSON.parse('{"a":{"__proto__":1}}'), "UNSAFE_PAYLOAD"],
  ])("of %s is refused as encoding it would be", (_name, value, expected) => {
    expect(() => copy(value)).toThrow(code(expected));
  });

  it("of what cannot be read, or is too deep, is refused", () => {
    const trap = {
      get a(): never {
        throw new TypeError("no");
      },
    };
    expect(() => copy(trap)).toThrow(code("UNSERIALIZABLE"));
    expect(() => plainCopy([[1]], 1)).toThrow(code("DEPTH_LIMIT"));
  });
});
