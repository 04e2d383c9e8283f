import { describe, expect, it } from "vitest";
import { isCompatible } from "./compatible.ts";
import type { JsonSchema } from "./model.ts";

const text = { type: "string" };
const number = { type: "number" };

function object(
  properties: Record<string, JsonSchema>,
  required: readonly string[] = [],
  more: object = {},
): JsonSchema {
  return { type: "object", properties, required, ...more };
}

describe("comparing what is published with what is expected", () => {
  it.each<[string, JsonSchema, JsonSchema]>([
    ["the same", object({ a: text }, ["a"]), object({ a: text }, ["a"])],
    ["a property more than expected", object({ a: text, b: text }, ["a"]), object({ a: text }, ["a"])],
    ["an integer for a number", { type: "integer" }, number],
    ["fewer listed values", { enum: ["x"] }, { enum: ["x", "y"] }],
    ["listed values for their type", { enum: ["x"] }, text],
    ["a narrower limit", { type: "number", minimum: 2, maximum: 5 }, { minimum: 1, exclusiveMaximum: 6 }],
    ["an exclusive limit for an inclusive one", { type: "integer", exclusiveMinimum: 0 }, { minimum: 0 }],
    ["one of the alternatives", text, { anyOf: [text, number] }],
    [
      "alternatives that are all taken",
      { oneOf: [text, { type: "integer" }] },
      { type: ["string", "number"] },
    ],
    [
      "alternatives that share what stands beside them",
      object({ a: text }, ["a"], { anyOf: [{ required: ["b"] }, { required: ["c"] }] }),
      object({ a: text }, ["a"]),
    ],
    [
      "a closed schema that declares all",
      object({ a: text }),
      object({ a: text }, [], { additionalProperties: false }),
    ],
    ["nothing said by the publisher", {}, object({ a: text }, ["a"])],
    ["anything by the publisher", true, object({ a: text }, ["a"])],
    ["nothing at all", false, text],
    ["anything for the subscriber", text, true],
    [
      "a construct that is not understood",
      text,
      { type: "string", format: "uuid", pattern: "^a", not: { const: "a" } },
    ],
    [
      "a reference that is not understood",
      text,
      { $ref: "#name", $defs: { a: { $anchor: "name", type: "number" } } },
    ],
  ])("finds no difference in %s", (_, publisher, subscriber) => {
    expect(isCompatible(publisher, subscriber)).toEqual({ compatible: true, reasons: [] });
  });

  it.each<[string, JsonSchema, JsonSchema, string]>([
    [
      "a property that may be left out",
      object({ a: text }),
      object({ a: text }, ["a"]),
      "a: the subscriber requires it, the publisher may leave it out",
    ],
    [
      "a property that is not declared",
      object({ b: text }),
      object({ a: text }, ["a"]),
      "a: the subscriber requires it, the publisher does not declare it",
    ],
    [
      "another type, deep inside",
      object({ d: object({ a: text }) }),
      object({ d: object({ a: number }) }),
      "d.a: the publisher may send string, the subscriber takes number",
    ],
    [
      "a wider type",
      number,
      { type: "integer" },
      "the publisher may send number, the subscriber takes integer",
    ],
    [
      "one type of several",
      { type: ["string", "null"] },
      text,
      "the publisher may send null, the subscriber takes string",
    ],
    [
      "a value that is not listed",
      object({ a: { enum: ["x", "z"] } }),
      object({ a: { enum: ["x"] } }),
      'a: the subscriber does not take "z"',
    ],
    [
      "any text for listed values",
      text,
      { enum: ["x"] },
      "the publisher allows any string, the subscriber only listed values",
    ],
    [
      "any text for listed text",
      text,
      { type: "string", enum: ["x"] },
      "the publisher allows any string, the subscriber only listed values",
    ],
    ["a constant outside a limit", { const: 1 }, { minimum: 2 }, "the subscriber does not take 1"],
    [
      "a property that is not allowed",
      object({ a: text, b: text }),
      object({ a: text }, [], { additionalProperties: false }),
      "b: the subscriber does not allow this property",
    ],
    [
      "items of another type",
      { type: "array", items: text },
      { type: "array", items: number },
      "[]: the publisher may send string, the subscriber takes number",
    ],
    [
      "one alternative that is not taken",
      { anyOf: [text, number] },
      text,
      "the publisher may send number, the subscriber takes string",
    ],
    [
      "no alternative that takes it",
      { type: "boolean" },
      { anyOf: [text, number] },
      "none of the subscriber's alternatives takes what is published",
    ],
    [
      "a limit that is not set",
      text,
      { type: "string", minLength: 1 },
      "the subscriber has minLength 1, the publisher sets none",
    ],
    [
      "a limit that is wider",
      { type: "array", maxItems: 9 },
      { maxItems: 5 },
      "the subscriber has maxItems 5, the publisher has 9",
    ],
    ["anything where nothing is taken", text, false, "the subscriber allows nothing here"],
  ])("finds %s", (_, publisher, subscriber, reason) => {
    expect(isCompatible(publisher, subscriber)).toEqual({ compatible: false, reasons: [reason] });
  });

  it("follows references and allOf on both sides", () => {
    const publisher = { $ref: "#/$defs/x", $defs: { x: object({ a: text }, ["a"]) } };
    const subscriber = {
      allOf: [{ $ref: "#/definitions/y" }, { required: ["b"] }],
      definitions: { y: object({ a: number }, ["a"]) },
    };
    expect(isCompatible(publisher, subscriber).reasons).toEqual([
      "b: the subscriber requires it, the publisher does not declare it",
      "a: the publisher may send string, the subscriber takes number",
    ]);
  });

  it("decides listed values with the definitions that their schema refers to", () => {
    const subscriber = object({ a: { $ref: "#/$defs/short" } }, [], {
      $defs: { short: { type: "string", maxLength: 2 } },
    });
    expect(isCompatible(object({ a: { enum: ["ab", "abc"] } }), subscriber).reasons).toEqual([
      'a: the subscriber does not take "abc"',
    ]);
  });

  it("ends on recursive schemas, however they branch", () => {
    const tree = (required: readonly string[]) =>
      object(
        {
          left: { $ref: "#" },
          right: { $ref: "#" },
          both: { anyOf: [{ $ref: "#" }, { allOf: [{ $ref: "#" }] }] },
        },
        required,
      );
    expect(isCompatible(tree([]), tree([])).compatible).toBe(true);
    expect(isCompatible(tree([]), tree(["left"])).compatible).toBe(false);
  });

  it("lists twenty reasons at most", () => {
    const names = Array.from({ length: 50 }, (_, i) => `p${i}`);
    expect(isCompatible(object({}), object({}, names)).reasons).toHaveLength(20);
  });
});
