import fc from "fast-check";
import Type from "typebox";
import { describe, expect, it } from "vitest";
import { compileSchema } from "./compile-schema.ts";
import type { JsonSchema, SchemaLike, ValidationResult } from "./model.ts";
import type { StandardSchemaV1 } from "./standard-schema.ts";

function check(schema: SchemaLike, value: unknown): ValidationResult {
  const result = compileSchema(schema).validate(value);
  if (result instanceof Promise) throw new Error("A JSON Schema answered with a promise.");
  return result;
}

function failures(schema: SchemaLike, value: unknown): readonly string[] {
  const result = check(schema, value);
  return result.ok ? [] : result.issues.map(({ path, message }) => `${path} ${message}`);
}

describe("validating", () => {
  const schema = {
    type: "object",
    required: ["severity", "package"],
    properties: {
      severity: { enum: ["low", "high"] },
      package: { type: "string", minLength: 1 },
      items: {
        type: "array",
        items: { type: "object", required: ["name"], properties: { name: { type: "string" } } },
      },
      "odd key": { type: ["integer", "null"] },
    },
    additionalProperties: false,
  };

  it("gives the value back as it is when it fits", () => {
    const value = { severity: "low", package: "left-pad", items: [{ name: "x" }], "odd key": null };
    const result = check(schema, value);
    expect(result.ok && result.value).toBe(value);
  });

  it("names every failing place as a path, in plain words and without the payload's values", () => {
    const value = {
      severity: "SECRET",
      package: "",
      items: [{ name: "x" }, { name: 7 }, {}],
      "odd key": "SECRET",
      more: 1,
    };
    const found = failures(schema, value);
    expect(found.toSorted()).toEqual(
      [
        'severity must be one of "low", "high"',
        "package must not have fewer than 1 characters",
        "items[1].name must be string",
        "items[2].name is required",
        '["odd key"] must be integer or null',
        "more is not allowed here",
      ].toSorted(),
    );
    expect(found.join()).not.toContain("SECRET");
  });

  it("holds a schema to what it was when it was compiled", () => {
    const mutable = { type: "object", properties: { a: { type: "string" } } };
    const validator = compileSchema(mutable);
    mutable.properties.a.type = "number";
    expect(validator.validate({ a: "text" })).toMatchObject({ ok: true });
    expect(validator.json).toEqual({ type: "object", properties: { a: { type: "string" } } });
  });

  it("asserts formats, because a contract that names one means it", () => {
    for (const [format, good, bad] of [
      ["date-time", "2026-01-02T03:04:05Z", "yesterday"],
      ["email", "a@example.com", "a"],
      ["uuid", "0190163d-8694-739b-aea5-966c26f8ad91", "0190163d"],
      ["uri", "https://example.com/a?b#c", "//example.com"],
      ["ipv4", "127.0.0.1", "300.0.0.1"],
    ] as const) {
      expect([format, check({ format }, good).ok]).toEqual([format, true]);
      expect(failures({ format }, bad)).toEqual([` must be a valid ${format}`]);
    }
  });

  it("resolves references by pointer, anchor and $id inside the schema", () => {
    const linked = {
      $id: "https://example.com/root.json",
      $defs: {
        "t/x %": { type: "boolean" },
        a: { $id: "a.json", type: "string", $defs: { inner: { $anchor: "q", type: "integer" } } },
        b: { $anchor: "bb", type: "number" },
        no: false,
      },
      properties: {
        v: { $ref: "#/$defs/t~1x%20%25" },
        w: { $ref: "a.json" },
        x: { $ref: "#bb" },
        y: { $ref: "a.json#q" },
        z: { $ref: "https://example.com/a.json#/$defs/inner" },
        never: { $ref: "#/$defs/no" },
      },
    };
    expect(check(linked, { v: true, w: "", x: 0.5, y: 1, z: 2 }).ok).toBe(true);
    expect(failures(linked, { v: 1, w: 1, x: "", y: 0.5, z: "" })).toHaveLength(5);
    expect(failures(linked, { never: 1 })).toHaveLength(1);
  });

  it("reads draft-07: definitions, dependencies, tuples and $id as an anchor", () => {
    const draft07 = {
      $schema: "http://json-schema.org/draft-07/schema#",
      definitions: { a: { $id: "#foo", type: "string" } },
      properties: { a: { $ref: "#foo" }, list: { items: [{ type: "string" }], additionalItems: false } },
      dependencies: { a: ["b"], c: { required: ["d"] } },
    };
    expect(check(draft07, { a: "x", b: 1, list: ["x"] }).ok).toBe(true);
    expect(check(draft07, { a: "x" }).ok).toBe(false);
    expect(check(draft07, { c: 1 }).ok).toBe(false);
    expect(check(draft07, { list: ["x", 1] }).ok).toBe(false);
  });

  it("reads 2020-12: prefixItems, dependentSchemas, contains and unevaluated properties", () => {
    const draft2020 = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: {
        tuple: { prefixItems: [{ type: "string" }], items: { type: "number" }, contains: { const: 2 } },
      },
      allOf: [{ properties: { a: true } }],
      dependentSchemas: { a: { required: ["tuple"] } },
      unevaluatedProperties: false,
    };
    expect(check(draft2020, { a: 1, tuple: ["x", 1, 2] }).ok).toBe(true);
    expect(check(draft2020, { a: 1 }).ok).toBe(false);
    expect(check(draft2020, { tuple: ["x", 1] }).ok).toBe(false);
    expect(failures(draft2020, { zz: 1 })).toEqual(["zz is not allowed here"]);
  });

  it("tells alternatives, constants and conditions apart", () => {
    expect(failures({ oneOf: [{ type: "integer" }, { minimum: 2 }] }, 3)).toEqual([
      " must match exactly one of the schemas in oneOf",
    ]);
    expect(failures({ anyOf: [{ type: "string" }, { type: "null" }] }, 1)).toContain(
      " must match one of the schemas in anyOf",
    );
    expect(failures({ const: { a: 1 } }, { a: 2 })).toEqual([' must be {"a":1}']);
    const conditional = JSON.parse(
      '{"if":{"type":"string"},"then":{"minLength":2},"else":{"type":"number"}}',
    ) as JsonSchema;
    expect(check(conditional, "a").ok).toBe(false);
    expect(check({ not: { type: "string" } }, "a").ok).toBe(false);
  });

  it("finds repeated items, by value and whatever the order of their keys, without quadratic time", () => {
    const unique = { uniqueItems: true };
    expect(check(unique, [1, "1", true, null, { a: 1 }, { a: 2 }, [1], ['{"a":1}'], '{"a":1}']).ok).toBe(
      true,
    );
    expect(
      check(unique, [
        { a: [1], b: 2 },
        { b: 2, a: [1] },
      ]).ok,
    ).toBe(false);
    // The compiler's own explanation copies a list for every repeated item: this would take minutes.
    expect(
      failures(
        unique,
        Array.from({ length: 40_000 }, () => 0),
      ),
    ).toEqual([" must not hold the same item twice"]);
    expect(check({ uniqueItems: false }, [1, 1]).ok).toBe(true);
  });

  it("says where a value fails only up to 50,000 parts, so that a failing megabyte holds nothing up", () => {
    const list = { items: { type: "string" } };
    const large = Array.from({ length: 60_000 }, () => "x");
    expect(check(list, large).ok).toBe(true);
    expect(failures(list, [...large, 1])).toEqual([expect.stringContaining("too many to say where")]);
  });

  it("follows a recursive schema, and answers a value that is nested without bounds", () => {
    const tree = {
      type: "object",
      required: ["v"],
      properties: { v: { type: "number" }, left: { $ref: "#" }, right: { $ref: "#" } },
    };
    expect(failures(tree, { v: 1, left: { v: 2, right: { v: "x" } } })).toEqual([
      "left.right.v must be number",
    ]);
    let deep: object = { v: 1 };
    for (let i = 0; i < 200_000; i++) deep = { v: 1, left: deep };
    expect(failures(tree, deep)).toEqual([" is nested too deeply to be checked"]);
  });

  it("takes true and false, and schemas made by a schema builder", () => {
    expect(check(true, 1).ok).toBe(true);
    expect(check(false, 1).ok).toBe(false);
    const built: unknown = Type.Object({
      a: Type.String(),
      b: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
    });
    expect(check(built as JsonSchema, { a: "x", b: null }).ok).toBe(true);
    expect(failures(built as JsonSchema, { b: null })).toEqual(["a is required"]);
  });

  it("treats a property that is undefined as absent, as JSON will", () => {
    expect(check({ properties: { a: { type: "string" } } }, { a: undefined }).ok).toBe(true);
  });

  it("never throws, whatever schema it is handed and whatever it validates", () => {
    const keyword = fc.constantFrom(
      "type",
      "properties",
      "items",
      "enum",
      "$ref",
      "minimum",
      "pattern",
      "allOf",
      "anyOf",
      "not",
      "$defs",
      "x",
    );
    const schemas = fc.letrec<{ schema: unknown }>((tie) => ({
      schema: fc.oneof(
        { depthSize: "small" },
        fc.boolean(),
        fc.dictionary(
          keyword,
          fc.oneof(
            tie("schema"),
            fc.array(tie("schema")),
            fc.jsonValue(),
            fc.constantFrom("string", "object", "#", "^a+$"),
          ),
        ),
      ),
    })).schema;
    fc.assert(
      fc.property(schemas, fc.jsonValue(), (schema, value) => {
        try {
          const result = compileSchema(schema as SchemaLike).validate(value);
          expect(result).toHaveProperty("ok");
        } catch (error) {
          expect(error).toMatchObject({ code: "UNSAFE_SCHEMA" });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Standard Schema", () => {
  function standard(validate: StandardSchemaV1["~standard"]["validate"]): StandardSchemaV1 {
    return { "~standard": { version: 1, vendor: "test", validate } };
  }

  it("is run as it is, may change the value, and has no JSON Schema", () => {
    const validator = compileSchema(standard((value) => ({ value: Number(value) })));
    expect(validator.validate("7")).toEqual({ ok: true, value: 7 });
    expect(validator.json).toBeUndefined();
  });

  it("is recognised on a function, as some libraries make them", () => {
    const schema = Object.assign(
      () => undefined,
      standard((value) => ({ value })),
    );
    expect(compileSchema(schema as unknown as SchemaLike).validate(1)).toEqual({ ok: true, value: 1 });
  });

  it("has its issues read to paths, whatever form their steps have", () => {
    const path = ["data", { key: "items" }, 0, { key: Symbol("s") }];
    expect(
      compileSchema(
        standard(() => ({ issues: [{ message: "is bad", path }, { message: "is worse" }] })),
      ).validate(1),
    ).toEqual({
      ok: false,
      issues: [
        { path: 'data.items[0]["Symbol(s)"]', message: "is bad" },
        { path: "", message: "is worse" },
      ],
    });
  });

  it("may answer later, also by failing", async () => {
    const later = compileSchema(standard(async (value) => ({ value })));
    await expect(later.validate(1)).resolves.toEqual({ ok: true, value: 1 });
    const broken = compileSchema(
      standard(async () => {
        throw new Error("no database");
      }),
    );
    await expect(broken.validate(1)).resolves.toMatchObject({
      ok: false,
      issues: [{ message: expect.stringContaining("no database") }],
    });
  });

  it("that throws fails the value, not the caller", () => {
    const broken = compileSchema(
      standard(() => {
        throw new Error("oops");
      }),
    );
    expect(broken.validate(1)).toEqual({
      ok: false,
      issues: [{ path: "", message: "the schema itself failed: oops" }],
    });
  });
});
