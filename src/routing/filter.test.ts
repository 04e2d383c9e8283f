import { describe, expect, test } from "vitest";
import type { HeraldError } from "../core/errors.ts";
import type { Message, Metadata } from "../core/message.ts";
import { compileFilter } from "./filter.ts";

function message(payload: unknown, metadata: Partial<Metadata> = {}): Message {
  return {
    id: "m-1",
    timestamp: "2026-01-02T03:04:05.678Z",
    source: "scanner",
    channel: "security.alerts",
    payload,
    metadata: { priority: 50, retryCount: 0, contentType: "application/json", ...metadata },
  };
}

function passes(
  fields: Record<string, unknown>,
  payload: unknown,
  metadata: Partial<Metadata> = {},
): boolean {
  return compileFilter({ fields })(message(payload, metadata));
}

function refusal(filter: unknown): HeraldError {
  try {
    compileFilter(filter as never);
  } catch (error) {
    return error as HeraldError;
  }
  throw new Error("The filter was accepted.");
}

describe("the parts of a filter", () => {
  test("an empty filter lets everything pass", () => {
    expect(compileFilter({})(message(null))).toBe(true);
    expect(compileFilter({ fields: {}, expression: undefined })(message(null))).toBe(true);
  });

  test("fields and expression must both hold", () => {
    const filter = compileFilter({ fields: { severity: "high" }, expression: "payload.score > 5" });
    expect(filter(message({ severity: "high", score: 6 }))).toBe(true);
    expect(filter(message({ severity: "high", score: 5 }))).toBe(false);
    expect(filter(message({ severity: "low", score: 6 }))).toBe(false);
  });

  test("every field must hold", () => {
    expect(passes({ a: 1, b: 2 }, { a: 1, b: 2 })).toBe(true);
    expect(passes({ a: 1, b: 2 }, { a: 1, b: 3 })).toBe(false);
  });

  test("changing the filter after it was compiled changes nothing", () => {
    const fields = { tag: ["a"], box: { inner: [1] } };
    const filter = compileFilter({ fields });
    fields.tag.push("b");
    fields.box.inner.push(2);
    expect(filter(message({ tag: "b", box: { inner: [1] } }))).toBe(false);
    expect(filter(message({ tag: "a", box: { inner: [1] } }))).toBe(true);
  });
});

describe("where a name is looked up", () => {
  test("a bare name is found in the payload before the metadata and the headers", () => {
    const metadata = { type: "meta", headers: { type: "header", region: "eu" } };
    expect(passes({ type: "own" }, { type: "own" }, metadata)).toBe(true);
    expect(passes({ type: "meta" }, { type: "own" }, metadata)).toBe(false);
    expect(passes({ type: "meta" }, {}, metadata)).toBe(true);
    expect(passes({ region: "eu" }, {}, metadata)).toBe(true);
    expect(passes({ region: "eu" }, "text", metadata)).toBe(true);
  });

  test("a null in the payload counts as present", () => {
    expect(passes({ type: null }, { type: null }, { type: "meta" })).toBe(true);
    expect(passes({ type: "meta" }, { type: null }, { type: "meta" })).toBe(false);
  });

  test("payload. and metadata. are absolute", () => {
    expect(passes({ "payload.type": "a" }, { type: "a" })).toBe(true);
    expect(passes({ "payload.type": "meta" }, {}, { type: "meta" })).toBe(false);
    expect(passes({ "metadata.type": "meta" }, { type: "a" }, { type: "meta" })).toBe(true);
    expect(passes({ "metadata.headers.region": "eu" }, {}, { headers: { region: "eu" } })).toBe(true);
    expect(passes({ payload: "ping" }, "ping")).toBe(true);
  });

  test("id, source, channel and timestamp are the message's own, whatever the payload says", () => {
    const forged = { id: "forged", source: "forged", channel: "forged", timestamp: "forged" };
    expect(passes({ source: "forged" }, forged)).toBe(false);
    expect(passes({ source: "scanner", id: "m-1", channel: "security.alerts" }, forged)).toBe(true);
    expect(passes({ timestamp: { $gte: "2026-01-01" } }, forged)).toBe(true);
    expect(passes({ "payload.source": "forged" }, forged)).toBe(true);
  });

  test("other dotted names are paths in the payload, then in the metadata", () => {
    expect(passes({ "customer.country": "de" }, { customer: { country: "de" } })).toBe(true);
    expect(passes({ "headers.region": "eu" }, { headers: {} }, { headers: { region: "eu" } })).toBe(true);
    expect(passes({ "items.1.sku": "b" }, { items: [{ sku: "a" }, { sku: "b" }] })).toBe(true);
    expect(passes({ "customer.country": "de" }, { customer: "de" })).toBe(false);
  });

  test.each(["__proto__", "constructor", "prototype", "constructor.name", "__proto__.toString", "toString"])(
    "%s does not reach a prototype",
    (path) => {
      for (const name of [path, `payload.${path}`, `metadata.${path}`]) {
        expect(passes({ [name]: { $exists: true } }, {})).toBe(false);
        expect(passes({ [name]: { $exists: true } }, "text")).toBe(false);
        expect(passes({ [name]: { $exists: false } }, [])).toBe(true);
      }
    },
  );

  test("an own property of a dangerous name is plain data", () => {
    const payload: unknown = JSON.parse('{ "constructor": "Acme", "__proto__": { "isAdmin": true } }');
    expect(passes({ constructor: "Acme" }, payload)).toBe(true);
    expect(passes({ "payload.__proto__.isAdmin": true }, payload)).toBe(true);
    expect(passes({ isAdmin: true }, payload)).toBe(false);
  });
});

describe("what a field must be", () => {
  test.each([
    ["a text", "high", "high", "low"],
    ["a number", 3, 3, "3"],
    ["a boolean", true, true, 1],
    ["null", null, null, 0],
    ["an object", { a: [1, { b: 2 }], c: 3 }, { c: 3, a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
    ["an empty object", {}, {}, []],
    ["an array given to $eq", { $eq: ["a"] }, ["a"], "a"],
    ["one of an array", ["a", "b", null], "b", "c"],
    ["an object of an array", [{ a: 1 }], { a: 1 }, { a: 2 }],
    ["$eq", { $eq: 1 }, 1, "1"],
    ["$ne", { $ne: 1 }, "1", 1],
    ["$in", { $in: [1, 2] }, 2, 3],
    ["$nin", { $nin: [1, 2] }, 3, 2],
    ["$gt", { $gt: 1 }, 1.5, 1],
    ["$gte", { $gte: 1 }, 1, 0.5],
    ["$lt", { $lt: 1 }, 0.5, 1],
    ["$lte", { $lte: 1 }, 1, 1.5],
    ["$exists", { $exists: true }, null, undefined],
    ["$exists false", { $exists: false }, undefined, null],
    ["two operators", { $gte: 1, $lt: 3 }, 2, 3],
    ["an order of texts", { $gt: "b" }, "c", "a"],
    [
      "an order of instants",
      { $gte: "2026-01-01T00:00:00.000Z" },
      "2026-01-02T00:00:00.000Z",
      "2025-12-31T23:59:59.999Z",
    ],
  ])("%s passes what fits and nothing else", (_name, condition, fits, differs) => {
    expect(passes({ value: condition }, { value: fits })).toBe(true);
    expect(passes({ value: condition }, { value: differs })).toBe(false);
  });

  test.each([
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1 }, { b: 1 }],
    [{ a: undefined }, {}],
    [
      [1, 2],
      [2, 1],
    ],
    [{ 0: "a" }, ["a"]],
    [new Date(0), {}],
    ["", {}],
  ])("%j is not deeply equal to %j", (value, expected) => {
    expect(passes({ "payload.value": { $eq: expected } }, { value })).toBe(false);
  });

  test("types are never coerced by an order", () => {
    for (const operator of ["$gt", "$gte", "$lt", "$lte"]) {
      expect(passes({ value: { [operator]: 5 } }, { value: "5" })).toBe(false);
      expect(passes({ value: { [operator]: "5" } }, { value: 5 })).toBe(false);
      expect(passes({ value: { [operator]: 5 } }, { value: null })).toBe(false);
      expect(passes({ value: { [operator]: 5 } }, { value: [5] })).toBe(false);
    }
  });

  test("a missing path passes $ne, $nin and $exists false, and nothing else", () => {
    const holds = [{ $ne: 1 }, { $nin: [1] }, { $exists: false }, { $nin: [] }];
    const fails = [
      1,
      null,
      [null, 1],
      {},
      { $eq: 1 },
      { $in: [1] },
      { $in: [] },
      { $gt: 0 },
      { $lte: "z" },
      { $exists: true },
    ];
    for (const condition of holds)
      expect(passes({ "a.b": condition }, { a: {} }), JSON.stringify(condition)).toBe(true);
    for (const condition of fails)
      expect(passes({ "a.b": condition }, { a: {} }), JSON.stringify(condition)).toBe(false);
  });
});

describe("priority", () => {
  test.each([
    ["high", 35, 50],
    ["critical", 20, 21],
    [35, 35, 36],
    [["critical", "high"], 49, 50],
    [{ $ne: "low" }, 69, 70],
    [{ $lte: "high" }, 49, 50],
    [{ $gt: "high" }, 50, 49],
    [{ $lt: 10 }, 9, 10],
  ])("%j compares a level by its band when a name is given", (condition, fits, differs) => {
    for (const name of ["priority", "metadata.priority"]) {
      expect(passes({ [name]: condition }, {}, { priority: fits })).toBe(true);
      expect(passes({ [name]: condition }, {}, { priority: differs })).toBe(false);
    }
  });

  test("a priority of the payload's own is compared as it is", () => {
    expect(passes({ priority: "high" }, { priority: "high" }, { priority: 80 })).toBe(true);
    expect(passes({ priority: "high" }, { priority: 35 }, { priority: 35 })).toBe(false);
    expect(passes({ priority: "urgent" }, { priority: "urgent" })).toBe(true);
    expect(passes({ priority: "urgent" }, {})).toBe(false);
  });

  test("a header called priority is no level", () => {
    const headers = { priority: "high" };
    const odd = { ...message({}), metadata: { headers } } as unknown as Message;
    expect(compileFilter({ fields: { priority: { $lte: "high" } } })(odd)).toBe(false);
  });

  test("metadata.priority refuses a text that names no band", () => {
    const error = refusal({ fields: { "metadata.priority": { $in: ["hihg"] } } });
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toContain('"hihg"');
    expect(error.message).toContain("(high)");
    expect(refusal({ fields: { "metadata.priority": "soon" } }).message).toContain(
      "critical, high, normal, low",
    );
  });
});

describe("what is refused", () => {
  test.each([
    [null, "A filter must be an object"],
    [[], "A filter must be an object"],
    ["severity", "A filter must be an object"],
    [{ severity: "high" }, "belongs under fields"],
    [{ feilds: {} }, "did you mean fields?"],
    [{ fields: null }, "fields must be an object"],
    [{ fields: ["a"] }, "fields must be an object"],
    [{ fields: { "": 1 } }, "empty part"],
    [{ fields: { "a..b": 1 } }, "fields.a..b has an empty part"],
    [{ fields: { "source.name": 1 } }, "write payload.source.name"],
    [{ fields: { a: undefined } }, "fields.a must be a JSON value"],
    [{ fields: { a: new Date(0) } }, "ISO 8601"],
    [{ fields: { a: Number.NaN } }, "fields.a must be a JSON value"],
    [{ fields: { a: [() => 1] } }, "fields.a[0] must be a JSON value"],
    [{ fields: { a: { $gtr: 1 } } }, "did you mean $gt?"],
    [{ fields: { a: { $regularExpression: 1 } } }, "Known are $eq $ne $in $nin $gt $gte $lt $lte $exists"],
    [{ fields: { a: { $gt: 1, b: 2 } } }, "mixes operators"],
    [{ fields: { a: { $gt: true } } }, "fields.a.$gt must be a number or a text"],
    [{ fields: { a: { $in: "x" } } }, "fields.a.$in must be a list"],
    [{ fields: { a: { $exists: 1 } } }, "fields.a.$exists must be true"],
    [{ fields: { a: [{ $gt: 1 }] } }, "fields.a[0] has the operator $gt"],
    [{ fields: { a: { b: { $gt: 1 } } } }, "fields.a.b has the operator $gt"],
    [{ expression: null }, "must be a text in CEL"],
    [{ expression: "payload.x ==" }, "cannot be read"],
  ])("%j is refused with a sentence that says: %s", (filter, sentence) => {
    const error = refusal(filter);
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toContain(sentence);
    expect(error.details["field"]).toBeTypeOf("string");
  });

  test("a value nested deeper than any payload is refused, a cycle included", () => {
    const cycle: Record<string, unknown> = {};
    cycle["again"] = cycle;
    expect(refusal({ fields: { a: cycle } }).message).toContain("deeper than 64");
  });

  test("a long name is cut in the sentence", () => {
    expect(refusal({ fields: { [`${"x".repeat(5000)}.`]: 1 } }).message.length).toBeLessThan(400);
  });
});
