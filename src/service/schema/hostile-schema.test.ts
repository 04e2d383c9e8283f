import { describe, expect, it, vi } from "vitest";
import { HeraldError } from "../../core/errors.ts";
import { compileSchema } from "./compile-schema.ts";
import type { SchemaLike, ValidationResult } from "./model.ts";

function refusal(schema: unknown): HeraldError {
  try {
    compileSchema(schema as SchemaLike, { name: "publishes 'a.b'" });
  } catch (error) {
    if (error instanceof HeraldError) return error;
    throw error;
  }
  throw new Error("The schema was not refused.");
}

function check(schema: SchemaLike, value: unknown): ValidationResult {
  const result = compileSchema(schema).validate(value);
  if (result instanceof Promise) throw new Error("A JSON Schema answered with a promise.");
  return result;
}

function failures(schema: SchemaLike, value: unknown): readonly string[] {
  const result = check(schema, value);
  return result.ok ? [] : result.issues.map(({ path, message }) => `${path} ${message}`);
}

function nest(levels: number): object {
  let schema: object = { type: "string" };
  for (let i = 0; i < levels; i++) schema = { properties: { a: schema } };
  return schema;
}

describe("hostile schemas", () => {
  it.each(["^(a|a)*$", "(a+)+$", "(a+)+"])(
    "refuses the pattern %s in every place that runs it",
    (pattern) => {
      expect(refusal({ pattern }).code).toBe("UNSAFE_SCHEMA");
      expect(refusal({ properties: { x: { items: { pattern } } } }).details["path"]).toBe(
        "properties.x.items.pattern",
      );
      expect(refusal({ patternProperties: { [pattern]: true } }).code).toBe("UNSAFE_SCHEMA");
      expect(refusal({ propertyNames: { pattern } }).code).toBe("UNSAFE_SCHEMA");
    },
  );

  it("refuses an exponential pattern before it meets a megabyte", () => {
    const ran = vi.spyOn(RegExp.prototype, "test");
    expect(refusal({ pattern: "^(a|a)*$" }).code).toBe("UNSAFE_SCHEMA");
    expect(ran.mock.contexts.map((regex) => (regex as RegExp).source)).not.toContain("^(a|a)*$");
    ran.mockRestore();
  });

  it("takes a pattern of polynomial time only beside a maxLength that keeps it short", () => {
    expect(refusal({ pattern: "foo.*bar" }).message).toContain("maxLength");
    expect(refusal({ pattern: "foo.*bar", maxLength: 1_000_000 }).code).toBe("UNSAFE_SCHEMA");
    expect(refusal({ patternProperties: { "foo.*bar": true } }).message).toContain("Anchor it with ^");
    const schema = { type: "string", pattern: "foo.*bar", maxLength: 100 };
    expect(check(schema, "a foo and a bar").ok).toBe(true);
    expect(failures(schema, "no")).toEqual([" must match /foo.*bar/u"]);
  });

  it("does not run a polynomial pattern on text that maxLength refuses", () => {
    const validator = compileSchema({ type: "string", pattern: "foo.*bar", maxLength: 100 });
    const exec = vi.spyOn(RegExp.prototype, "exec");
    const result = validator.validate("foo".repeat(300_000));
    expect(exec.mock.contexts.map((regex) => (regex as RegExp).source)).not.toContain("foo.*bar");
    exec.mockRestore();
    expect(result).toEqual({
      ok: false,
      issues: [{ path: "", message: "must not have more than 100 characters" }],
    });
  });

  it.each([5_000, 100_000])("refuses a schema %i levels deep before it is compiled", (levels) => {
    expect(refusal(nest(levels))).toMatchObject({
      code: "UNSAFE_SCHEMA",
      message: expect.stringContaining("deeper than 64"),
    });
  });

  it("refuses a schema object that holds itself", () => {
    const schema: Record<string, unknown> = { type: "object" };
    schema["properties"] = { self: schema };
    expect(refusal(schema).message).toContain("holds itself");
  });

  it("refuses a schema larger than 256 KiB, also one that only unfolds to it", () => {
    expect(refusal({ enum: Array.from({ length: 500_000 }, (_, i) => `value ${i}`) }).message).toContain(
      "256 KiB",
    );
    let shared: object = { a: 1 };
    for (let i = 0; i < 60; i++) shared = { x: shared, y: shared };
    expect(refusal({ const: shared }).message).toContain("256 KiB");
  });

  it.each([
    ["itself", { $ref: "#" }],
    [
      "another that refers back",
      { $defs: { a: { $ref: "#/$defs/b" }, b: { allOf: [{ $ref: "#/$defs/a" }] } } },
    ],
    ["itself through not", { $defs: { a: { not: { anyOf: [true, { $ref: "#/$defs/a" }] } } } }],
    ["itself through a dependency", { dependentSchemas: { a: { $ref: "#" } } }],
  ])("refuses a $ref to %s that never goes into the value", (_, schema) => {
    expect(refusal(schema).message).toContain("refers back to itself");
  });

  it("refuses references that multiply, and recursion that doubles with every level", () => {
    const $defs: Record<string, object> = { d40: { type: "string" } };
    for (let i = 0; i < 40; i++) {
      $defs[`d${i}`] = { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] };
    }
    expect(refusal({ $defs, $ref: "#/$defs/d0" }).message).toContain("references multiply");
    for (const twice of [
      { allOf: [{ items: { $ref: "#" } }, { contains: { $ref: "#" } }] },
      { allOf: [{ prefixItems: [{ $ref: "#" }] }, { items: { $ref: "#" } }] },
      { allOf: [{ items: [true], additionalItems: { $ref: "#" } }, { unevaluatedItems: { $ref: "#" } }] },
      { allOf: [{ patternProperties: { "^a": { $ref: "#" } } }, { properties: { b: { $ref: "#" } } }] },
      { allOf: [{ additionalProperties: { $ref: "#" } }, { properties: { b: { $ref: "#" } } }] },
    ]) {
      expect(refusal(twice).message).toContain("doubles with every level");
    }
    const doubling = { properties: { next: { anyOf: [{ $ref: "#" }, { $ref: "#" }] } } };
    expect(refusal(doubling).message).toContain("doubles with every level");
  });

  it.each([
    "http://127.0.0.1:9/x.json",
    "https://example.com/x.json#/a",
    "file:///etc/passwd",
    "other.json",
    "urn:x:y",
  ])("refuses the reference %s and fetches nothing", (reference) => {
    const fetched = vi.spyOn(globalThis, "fetch");
    expect(refusal({ $ref: reference }).message).toContain("nothing is ever fetched");
    expect(fetched).not.toHaveBeenCalled();
    fetched.mockRestore();
  });

  it.each(["#/$defs/none", "#none", "#/properties", "#/default", "#/%ZZ"])(
    "refuses %s, which leads to no schema",
    (reference) => {
      expect(refusal({ $ref: reference, properties: {}, default: { type: "string" } }).code).toBe(
        "UNSAFE_SCHEMA",
      );
    },
  );

  it("refuses $data wherever a keyword or a value of one stands", () => {
    expect(refusal({ properties: { a: { minimum: { $data: "1/b" } } } }).message).toContain("$data");
    expect(refusal({ $data: "#/a" }).message).toContain("$data");
    expect(refusal({ enum: { $data: "1/b" } }).message).toContain("$data");
    expect(refusal({ type: "string", format: { $data: "1/b" } }).message).toContain("$data");
  });

  it("refuses a default that would reach a prototype, and leaves Object.prototype as it was", () => {
    expect(refusal({ default: JSON.parse('{"__proto__":{"isAdmin":true}}') as unknown }).message).toContain(
      "__proto__",
    );
    expect(refusal({ properties: JSON.parse('{"__proto__":true}') as unknown }).message).toContain(
      "__proto__",
    );
    expect(refusal({ default: { a: { constructor: { prototype: { isAdmin: true } } } } }).message).toContain(
      "prototype",
    );
    expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  });

  it("refuses property names that every JavaScript object already has, because they would count as present", () => {
    expect(refusal({ required: ["toString"] }).message).toContain("toString");
    expect(refusal({ properties: { valueOf: true } }).code).toBe("UNSAFE_SCHEMA");
    expect(refusal({ dependentRequired: { a: ["hasOwnProperty"] } }).code).toBe("UNSAFE_SCHEMA");
    expect(failures({ required: ["constructor"] }, {})).toEqual(["constructor is required"]);
  });

  it.each([
    [{ const: NaN }, "NaN"],
    [{ const: 1n }, "bigint"],
    [{ default: () => 1 }, "function"],
    [{ default: new Date(0) }, "Date"],
    [[], "object of keywords"],
    ["string", "object of keywords"],
    [null, "object of keywords"],
  ])("refuses %o, which is not a JSON Schema", (schema, word) => {
    expect(refusal(schema).message).toContain(word);
  });
});

describe("schemas that are wrong", () => {
  it.each([
    [{ type: "strng" }, "type", "Did you mean string?"],
    [{ min_length: 1 }, "min_length", "Did you mean minLength?"],
    [{ properties: { a: { requried: [] } } }, "properties.a.requried", "Did you mean required?"],
    [{ "x-internal": true }, "x-internal", "$comment"],
    [{ format: "datetime" }, "format", "Did you mean date-time?"],
    [{ properties: { a: "string" } }, "properties.a", "Write { type: string }."],
    [{ exclusiveMinimum: true }, "exclusiveMinimum", "draft-04"],
    [{ $schema: "http://json-schema.org/draft-04/schema#" }, "$schema", "2020-12"],
    [{ $dynamicRef: "#a" }, "$dynamicRef", "$ref"],
    [{ allOf: [] }, "allOf", ""],
    [{ items: 3 }, "items", ""],
    [{ properties: [] }, "properties", ""],
    [{ enum: [] }, "enum", ""],
    [{ required: ["a", "a"] }, "required", ""],
    [{ dependencies: { a: [1] } }, "dependencies.a", ""],
    [{ dependentRequired: 1 }, "dependentRequired", ""],
    [{ minLength: -1 }, "minLength", ""],
    [{ multipleOf: 0 }, "multipleOf", ""],
    [{ uniqueItems: 1 }, "uniqueItems", ""],
    [{ title: 1 }, "title", ""],
    [{ $ref: "" }, "$ref", ""],
    [{ $id: "https://example.com/#a" }, "$id", ""],
    [{ $defs: { a: { $anchor: "x" }, b: { $anchor: "x" } } }, "$defs.b.$anchor", "twice"],
  ])("refuses %o and says where and what was meant", (schema, path, hint) => {
    const error = refusal(schema);
    expect(error).toMatchObject({ code: "UNSAFE_SCHEMA", details: { path } });
    expect(error.message).toContain("publishes 'a.b'");
    expect(error.message).toContain(hint);
  });

  it("lists every problem, up to a bound, and names the first", () => {
    const error = refusal({ typ: "a", minimum: "1", properties: { a: { tipe: 1 } } });
    expect(error.message).toContain("(and 2 more)");
    expect(error.details["problems"]).toHaveLength(3);
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 1]));
    expect(refusal(many).details["problems"]).toHaveLength(50);
  });
});
