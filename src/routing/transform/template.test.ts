import { describe, expect, it } from "vitest";
import type { HeraldError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import { compileTemplate } from "./template.ts";

function fill(template: unknown, payload: unknown, maxBytes = 100_000): unknown {
  const message: Message = {
    id: "m1",
    timestamp: "2026-01-01T00:00:00.000Z",
    source: "scanner",
    channel: "security.found",
    payload,
    metadata: { priority: 10, retryCount: 0, contentType: "application/json", headers: { "x-a": "1" } },
  };
  return compileTemplate(template, maxBytes)(message);
}

function failure(act: () => unknown): HeraldError {
  try {
    act();
  } catch (error) {
    return error as HeraldError;
  }
  throw new Error("It passed.");
}

describe("a template", () => {
  it("keeps the type of a value that stands alone, and makes text of it inside a text", () => {
    const template = {
      n: "{{payload.n}}",
      all: "{{payload}}",
      text: "n={{n}}, o={{payload.o}}, {{source}}: {{metadata.priority}}",
      fixed: [1, true, null],
    };
    expect(fill(template, { n: 5, o: { a: 1 } })).toEqual({
      n: 5,
      all: { n: 5, o: { a: 1 } },
      text: 'n=5, o={"a":1}, scanner: 10',
      fixed: [1, true, null],
    });
  });

  it("may be JSON as text, or one text", () => {
    expect(fill('{ "id": "{{id}}", "tags": ["{{tag}}"] }', { tag: "x" })).toEqual({ id: "m1", tags: ["x"] });
    expect(fill("{{severity}} on {{channel}}", { severity: "high" })).toBe("high on security.found");
  });

  it("is read before anything is put in: no value adds a key, a place or a quote", () => {
    const hostile = '", "admin": true, "x": "{{id}}';
    expect(fill('{ "name": "{{name}}", "text": "by {{name}}" }', { name: hostile })).toEqual({
      name: hostile,
      text: `by ${hostile}`,
    });
  });

  it("fails for a value that is missing, and leaves out one that may be", () => {
    expect(failure(() => fill({ a: "{{payload.gone}}" }, {}))).toMatchObject({
      code: "TRANSFORM_FAILED",
      message: expect.stringContaining("payload.gone") as string,
    });
    expect(fill({ a: "{{gone?}}", b: "<{{gone.deeper?}}>", c: ["{{gone?}}"] }, {})).toEqual({
      b: "<>",
      c: [null],
    });
    expect(failure(() => fill("{{gone?}}", {}))).toMatchObject({ code: "TRANSFORM_FAILED" });
  });

  it.each(["constructor.name", "__proto__", "payload.constructor", "payload.a.toString", "payload.length"])(
    "sees own properties only: %s is missing",
    (path) => {
      expect(failure(() => fill(`{{${path}}}`, { a: "text" }))).toMatchObject({ code: "TRANSFORM_FAILED" });
    },
  );

  it.each([
    ["a calculation", "{{1 + 1}}"],
    ["a call", "{{payload.a()}}"],
    ["an index in brackets", "{{payload['a']}}"],
    ["code of the language", "${process.env} {{}}"],
    ["a place that is not closed", "a {{b"],
    ["JSON that is none", '{ "a": '],
    ["a key __proto__", '{ "__proto__": "{{payload}}" }'],
    ["a date", { at: new Date(0).getTime.bind(null) }],
    ["a template of a megabyte", "x".repeat(1_000_000)],
    ["ten thousand places", "{{a?}}".repeat(10_000)],
  ])("refuses %s", (_what, template) => {
    expect(failure(() => fill(template, {}))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("fails when it would grow too large, before it has", () => {
    const many = Array.from({ length: 900 }, () => "{{payload}}");
    const error = failure(() => fill(many, "x".repeat(100_000), 200_000));
    expect(error).toMatchObject({ code: "TRANSFORM_FAILED", details: { reason: "size" } });
  });
});
