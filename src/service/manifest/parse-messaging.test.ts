import { describe, expect, it } from "vitest";
import { HeraldError } from "../../core/errors.ts";
import type { StandardSchemaV1 } from "../schema/standard-schema.ts";
import { parseMessaging } from "./parse-messaging.ts";

function refusal(input: unknown, where?: string): HeraldError {
  try {
    parseMessaging(input, where);
  } catch (error) {
    if (error instanceof HeraldError) return error;
    throw error;
  }
  throw new Error("The input was not refused.");
}

describe("messaging written in code", () => {
  it("declares nothing when there is none", () => {
    expect(parseMessaging(undefined)).toEqual({
      publishes: [],
      subscribes: [],
      commands: [],
      reliability: {},
    });
    expect(parseMessaging({})).toEqual(parseMessaging(undefined));
  });

  it("is normalised like a manifest, and what is undefined counts as absent", () => {
    const spec = parseMessaging({
      publishes: [{ channel: "events.notifications", schema: { type: "object" }, description: undefined }],
      subscribes: [{ channel: "events.triggers", handler: "handleTrigger" }],
      commands: undefined,
      reliability: { delivery: "at_least_once", retry: { maxRetries: 2 } },
    });
    expect(spec).toEqual({
      publishes: [{ channel: "events.notifications", schema: { type: "object" } }],
      subscribes: [{ channel: "events.triggers", handler: "handleTrigger" }],
      commands: [],
      reliability: { deliveryGuarantee: "at-least-once", retry: { maxAttempts: 3 } },
    });
    expect(Object.keys(spec.publishes[0] ?? {})).toEqual(["channel", "schema"]);
  });

  it("may hold Standard Schemas, which are kept as they are and not run", () => {
    const schema: StandardSchemaV1 = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => {
          throw new Error("It was run.");
        },
      },
    };
    const spec = parseMessaging({
      publishes: [{ channel: "a", schema, examples: [1] }],
      commands: [{ name: "b", inputSchema: schema }],
    });
    expect(spec.publishes[0]?.schema).toBe(schema);
    expect(spec.commands[0]?.inputSchema).toBe(schema);
  });

  it("keeps schemas as they were when they were handed over", () => {
    const schema = { type: "object", properties: { a: { type: "string" } } };
    const spec = parseMessaging({ publishes: [{ channel: "a", schema }] });
    schema.properties.a.type = "number";
    expect(spec.publishes[0]?.schema).toEqual({ type: "object", properties: { a: { type: "string" } } });
  });

  it("is refused in one error that names the first problem and counts the others", () => {
    const error = refusal({ publishes: [{ chanel: "a" }], subscribes: [{ channel: "a b" }] });
    expect(error.code).toBe("INVALID_MANIFEST");
    expect(error.message).toBe(
      "messaging.publishes[0].chanel is not known here. Did you mean channel? (and 2 more)",
    );
    expect(error.details).toMatchObject({
      path: "messaging.publishes[0].chanel",
      issues: [
        { path: "messaging.publishes[0].chanel", line: 0, column: 0 },
        { path: "messaging.publishes[0]" },
        { path: "messaging.subscribes[0].channel" },
      ],
    });
  });

  it("is refused under the name it was handed in by", () => {
    expect(refusal(7, "options.messaging").message).toBe("options.messaging must be an object, not 7.");
    expect(refusal([], "options.messaging").details["path"]).toBe("options.messaging");
    expect(refusal({ publishes: [{ channel: "a", schema: { type: "strng" } }] }, "x").details["path"]).toBe(
      "x.publishes[0].schema.type",
    );
  });

  it("is refused, not followed, when it holds itself or is no plain data", () => {
    const schema: Record<string, unknown> = {};
    schema["not"] = schema;
    expect(refusal({ publishes: [{ channel: "a", schema }] }).message).toContain("holds itself");
    expect(refusal({ publishes: new Map() }).code).toBe("INVALID_MANIFEST");
    expect(refusal({ publishes: [{ channel: Symbol("a") }] }).code).toBe("INVALID_MANIFEST");
    expect(refusal({ commands: [{ name: "a", timeoutSeconds: NaN }] }).code).toBe("INVALID_MANIFEST");
    expect(refusal({ commands: [{ name: 10n }] }).code).toBe("INVALID_MANIFEST");
  });
});
