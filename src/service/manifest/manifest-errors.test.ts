import { describe, expect, it } from "vitest";
import { manifestError } from "./manifest-error.ts";
import { readManifest } from "./read-manifest.ts";
import type { ManifestReport } from "./report.ts";

const HEAD = `apiVersion: ossa/v0.3.0
kind: Agent
metadata:
  name: lab-watcher
`;

/** A manifest with this under `spec.messaging`, indented by four. */
function withMessaging(yaml: string): string {
  return `${HEAD}spec:\n  messaging:\n${yaml.replaceAll(/^(?=.)/gm, "    ")}`;
}

function read(yaml: string): ManifestReport {
  return readManifest(withMessaging(yaml), { file: "lab.yaml" });
}

function errors(yaml: string): readonly string[] {
  return read(yaml).errors.map(({ path, message }) => `${path} ${message}`);
}

describe("what is wrong", () => {
  it("is reported all at once, in the order of the file, with line, column, expectation and hint", () => {
    const report = read(`publish: []
publishes:
  - channel: Lab Results
    schema:
      type: object
      properties:
        sample: { typ: string }
subscribes:
  - handler: onSample
    priority: urgent
commands:
  - name: a.b
    timeoutSeconds: 4000
reliability:
  retry: { maxAttempts: "3" }
`);
    expect(report.valid).toBe(false);
    expect(report.manifest).toBeUndefined();
    expect(report.errors.map(({ path, line, column }) => `${line}:${column} ${path}`)).toEqual([
      "7:5 spec.messaging.publish",
      "9:18 spec.messaging.publishes[0].channel",
      "13:23 spec.messaging.publishes[0].schema.properties.sample.typ",
      "15:9 spec.messaging.subscribes[0]",
      "16:19 spec.messaging.subscribes[0].priority",
      "18:15 spec.messaging.commands[0].name",
      "19:25 spec.messaging.commands[0].timeoutSeconds",
      "21:29 spec.messaging.reliability.retry.maxAttempts",
    ]);
    expect(report.errors[0]).toMatchObject({
      hint: "Did you mean publishes?",
      expected: "one of publishes, subscribes, commands, reliability",
    });
    expect(report.errors[2]?.hint).toBe("Did you mean type?");
    expect(report.errors[4]?.expected).toBe("one of low, normal, high, critical");
    const error = manifestError(report);
    expect(error).toMatchObject({
      code: "INVALID_MANIFEST",
      details: { file: "lab.yaml", path: "spec.messaging.publish" },
    });
    expect(error.message).toBe(
      "lab.yaml:7:5: spec.messaging.publish is not known here. Did you mean publishes? (and 7 more)",
    );
  });

  it.each([
    ["spec.messaging", "publishs: []", "publishes"],
    ["spec.messaging.publishes[0]", "publishes: [{ channel: a.b, schema: {}, chanel: x }]", "channel"],
    ["spec.messaging.publishes[0]", "publishes: [{ channel: a.b, schema: {}, payload: x }]", "schema"],
    ["spec.messaging.subscribes[0]", "subscribes: [{ channel: a.b, handlr: x }]", "handler"],
    [
      "spec.messaging.subscribes[0].filter",
      "subscribes: [{ channel: a.b, filter: { feilds: {} } }]",
      "fields",
    ],
    [
      "spec.messaging.subscribes[0].filter",
      "subscribes: [{ channel: a.b, filter: { severity: 1 } }]",
      "under fields",
    ],
    ["spec.messaging.commands[0]", "commands: [{ name: a, inputShema: {} }]", "inputSchema"],
    ["spec.messaging.reliability", "reliability: { retries: {} }", "retry"],
    ["spec.messaging.reliability", "reliability: { dead_letter_queue: {} }", "dlq"],
    ["spec.messaging.reliability.retry", "reliability: { retry: { attempts: 1 } }", "maxAttempts"],
    [
      "spec.messaging.reliability.retry.backoff",
      "reliability: { retry: { backoff: { initialDelay: 1 } } }",
      "initialDelayMs",
    ],
    ["spec.messaging.reliability.dlq", "reliability: { dlq: { enable: true } }", "enabled"],
    ["spec.messaging.reliability.ordering", "reliability: { ordering: { guarante: none } }", "guarantee"],
    [
      "spec.messaging.reliability.acknowledgment",
      "reliability: { acknowledgment: { timeout: 1 } }",
      "timeoutSeconds",
    ],
  ])("names an unknown key in %s and what was meant: %s", (path, yaml, meant) => {
    const report = read(yaml);
    expect(report.errors).toHaveLength(1);
    expect(report.errors[0]?.path.startsWith(`${path}.`)).toBe(true);
    expect(report.errors[0]?.hint).toContain(meant);
  });

  it.each([
    ["publishes: {}", "spec.messaging.publishes must be a list, not an object"],
    ["publishes: [7]", "spec.messaging.publishes[0] must be an object, not 7"],
    ["publishes: [{ schema: {} }]", "spec.messaging.publishes[0] has no channel"],
    [
      "publishes: [{ channel: a.*, schema: {} }]",
      "spec.messaging.publishes[0].channel must be a channel name: tokens",
    ],
    [
      "publishes: [{ channel: system.a, schema: {} }]",
      "spec.messaging.publishes[0].channel starts with system., which is reserved",
    ],
    [
      "publishes: [{ channel: ossa.a, schema: {} }]",
      "spec.messaging.publishes[0].channel starts with ossa., which is reserved",
    ],
    [
      "publishes: [{ channel: dlq.a, schema: {} }]",
      "spec.messaging.publishes[0].channel starts with dlq., which is reserved",
    ],
    [
      "subscribes: [{ channel: internal.a }]",
      "spec.messaging.subscribes[0].channel starts with internal., which is reserved",
    ],
    [
      "subscribes: [{ channel: 'a.#.b' }]",
      "spec.messaging.subscribes[0].channel must be a channel name or a pattern",
    ],
    [
      "subscribes: [{ channel: a, handler: 'x y' }]",
      "spec.messaging.subscribes[0].handler must be the name of a function",
    ],
    [
      "subscribes: [{ channel: a, handler: constructor }]",
      "spec.messaging.subscribes[0].handler must be the name of a function",
    ],
    [
      "subscribes: [{ channel: a, maxConcurrency: 0 }]",
      "spec.messaging.subscribes[0].maxConcurrency must be a whole number, at least 1, not 0",
    ],
    [
      "subscribes: [{ channel: a, filter: { fields: [] } }]",
      "spec.messaging.subscribes[0].filter.fields must be an object",
    ],
    [
      "publishes: [{ channel: a, schema: {}, contentType: json }]",
      "spec.messaging.publishes[0].contentType must be a media type",
    ],
    [
      "publishes: [{ channel: a, schema: {}, tags: [1] }]",
      "spec.messaging.publishes[0].tags must be a list of words",
    ],
    [
      "publishes: [{ channel: a, schema: {} }, { channel: a, schema: {} }]",
      "spec.messaging.publishes[1].channel is declared twice",
    ],
    ["commands: [{ name: a }, { name: a }]", "spec.messaging.commands[1].name is declared twice"],
    [
      "commands: [{ name: a, idempotent: 'yes' }]",
      'spec.messaging.commands[0].idempotent must be true or false, not "yes"',
    ],
    [
      "commands: [{ name: a, inputSchema: {}, input_schema: {} }]",
      "spec.messaging.commands[0].input_schema says the same as inputSchema",
    ],
    [
      "commands: [{ name: a, inputSchema: { pattern: '(a+)+$' } }]",
      "spec.messaging.commands[0].inputSchema.pattern",
    ],
    [
      "commands: [{ name: a, description: '' }]",
      "spec.messaging.commands[0].description must be text that is not empty",
    ],
    [
      "reliability: { dlq: { channel: 'a b' } }",
      "spec.messaging.reliability.dlq.channel must be a channel name",
    ],
    [
      "reliability: { retry: { backoff: { multiplier: 0.5 } } }",
      "spec.messaging.reliability.retry.backoff.multiplier must be a number, at least 1",
    ],
    [
      "reliability: { deliveryGuarantee: once }",
      "spec.messaging.reliability.deliveryGuarantee must be one of",
    ],
    [
      "reliability: { delivery: at-most-once, deliveryGuarantee: at-least-once }",
      "spec.messaging.reliability.deliveryGuarantee says the same as delivery",
    ],
    ["reliability: []", "spec.messaging.reliability must be an object, not an empty list"],
  ])("in %s is said plainly", (yaml, message) => {
    const found = errors(yaml);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });

  it("in names is a warning where it works here and OSSA's validators would refuse it", () => {
    const report = read(`publishes: [{ channel: Lab.results, schema: {} }]
subscribes: [{ channel: lab-x.y }, { channel: dlq.lab-watcher }, { channel: hub-broadcast }, { channel: agent-lab-watcher }]
commands: [{ name: Calibrate }]
`);
    expect(report.valid).toBe(true);
    expect(report.warnings.map(({ path }) => path)).toEqual([
      "spec.messaging.publishes[0].channel",
      "spec.messaging.subscribes[0].channel",
      "spec.messaging.commands[0].name",
    ]);
  });

  it("is also a channel without a schema, an example that breaks it, and one channel subscribed to twice: warnings", () => {
    const report = read(`publishes:
  - channel: a
  - { channel: b, schema: { type: object, required: [x] }, examples: [{ x: 1 }, { y: 1 }, 7] }
subscribes: [{ channel: c }, { channel: c }]
`);
    expect(report.valid).toBe(true);
    expect(report.warnings.map(({ path, message }) => `${path} ${message}`)).toEqual([
      expect.stringContaining("publishes[0] has no schema"),
      "spec.messaging.publishes[1].examples[1] does not match the schema beside it: x is required",
      "spec.messaging.publishes[1].examples[2] does not match the schema beside it: it must be object",
      expect.stringContaining("subscribes[1].channel is declared twice"),
    ]);
  });
});
