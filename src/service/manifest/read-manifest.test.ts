import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MessagingSpec } from "./model.ts";
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

function messaging(yaml: string): MessagingSpec {
  const report = read(yaml);
  expect(report.errors).toEqual([]);
  if (report.manifest === undefined) throw new Error("The manifest is valid and not there.");
  return report.manifest.messaging;
}

function errors(yaml: string): readonly string[] {
  return read(yaml).errors.map(({ path, message }) => `${path} ${message}`);
}

describe("a manifest", () => {
  it("is read from YAML to the model, with what was not written absent", () => {
    const report = readManifest(
      `${HEAD}  displayName: Lab watcher
  description: Watches samples
spec:
  role: anything else is not looked at
  messaging:
    publishes:
      - channel: lab.results
        description: What was measured
        schema: { type: object, required: [sample], properties: { sample: { type: string } } }
        examples: [{ sample: A1 }]
        contentType: application/json
        tags: [lab]
    subscribes:
      - channel: lab.samples
        handler: onSample
        priority: high
        maxConcurrency: 5
        filter: { fields: { kind: [blood, water] }, expression: "payload.size > 1" }
    commands:
      - name: calibrate
        inputSchema: { type: object }
        outputSchema: { type: object }
        timeoutSeconds: 20
        idempotent: true
        async: false
    reliability:
      deliveryGuarantee: exactly-once
      retry: { maxAttempts: 5, backoff: { strategy: linear, initialDelayMs: 10, maxDelayMs: 100, multiplier: 1.5 } }
      dlq: { enabled: true, channel: dlq.lab-watcher, retentionDays: 7 }
      ordering: { guarantee: per-source, timeoutSeconds: 300 }
      acknowledgment: { mode: manual, timeoutSeconds: 60 }
`,
      { file: "lab.yaml" },
    );
    expect(report).toEqual({
      valid: true,
      file: "lab.yaml",
      dialect: "D2",
      errors: [],
      warnings: [],
      manifest: {
        agentId: "lab-watcher",
        agentName: "Lab watcher",
        apiVersion: "ossa/v0.3.0",
        description: "Watches samples",
        file: "lab.yaml",
        dialect: "D2",
        messaging: {
          publishes: [
            {
              channel: "lab.results",
              description: "What was measured",
              schema: { type: "object", required: ["sample"], properties: { sample: { type: "string" } } },
              examples: [{ sample: "A1" }],
              contentType: "application/json",
              tags: ["lab"],
            },
          ],
          subscribes: [
            {
              channel: "lab.samples",
              handler: "onSample",
              priority: "high",
              maxConcurrency: 5,
              filter: { fields: { kind: ["blood", "water"] }, expression: "payload.size > 1" },
            },
          ],
          commands: [
            {
              name: "calibrate",
              inputSchema: { type: "object" },
              outputSchema: { type: "object" },
              timeoutSeconds: 20,
              idempotent: true,
              async: false,
            },
          ],
          reliability: {
            deliveryGuarantee: "exactly-once",
            retry: {
              maxAttempts: 5,
              backoff: { strategy: "linear", initialDelayMs: 10, maxDelayMs: 100, multiplier: 1.5 },
            },
            dlq: { enabled: true, channel: "dlq.lab-watcher", retentionDays: 7 },
            ordering: { guarantee: "per-source", timeoutSeconds: 300 },
            acknowledgment: { mode: "manual", timeoutSeconds: 60 },
          },
        },
      },
    });
  });

  it("is read from JSON, tabs included, with positions", () => {
    const json = JSON.stringify(
      {
        apiVersion: "ossa/v0.3.4",
        kind: "Agent",
        metadata: { name: "a" },
        spec: { messaging: { subscribes: [{ channel: "a b" }] } },
      },
      null,
      "\t",
    );
    const [issue] = readManifest(json).errors;
    expect(issue).toMatchObject({ path: "spec.messaging.subscribes[0].channel", line: 11, column: 17 });
    expect(readManifest(json.replace("a b", "a.b")).valid).toBe(true);
  });

  it("may leave everything under messaging out", () => {
    expect(readManifest(`${HEAD}spec: { role: x }`)).toMatchObject({
      valid: true,
      manifest: { messaging: { publishes: [], subscribes: [], commands: [], reliability: {} } },
      warnings: [{ path: "spec", message: expect.stringContaining("no messaging") }],
    });
    expect(read("publishes:\nsubscribes: []\nreliability:\n")).toMatchObject({
      valid: true,
      warnings: [{ path: "spec.messaging.publishes" }, { path: "spec.messaging.reliability" }],
    });
  });
});

describe("the two dialects", () => {
  it.each<[string, "D1" | "D2", object]>([
    ["retry: { backoff: { strategy: fixed } }", "D1", { retry: { backoff: { strategy: "constant" } } }],
    ["retry: { backoff: { strategy: constant } }", "D2", { retry: { backoff: { strategy: "constant" } } }],
    ["acknowledgment: { mode: auto }", "D1", { acknowledgment: { mode: "auto" } }],
    ["acknowledgment: { mode: automatic }", "D2", { acknowledgment: { mode: "auto" } }],
    ["ordering: { guarantee: per-channel }", "D1", { ordering: { guarantee: "per-channel" } }],
    ["ordering: { mode: per_channel }", "D2", { ordering: { guarantee: "per-channel" } }],
    ["ordering: { guarantee: global }", "D2", { ordering: { guarantee: "global" } }],
    ["delivery: at_most_once", "D2", { deliveryGuarantee: "at-most-once" }],
    ["deliveryGuarantee: exactly_once", "D2", { deliveryGuarantee: "exactly-once" }],
    ["delivery_guarantee: at-least-once", "D2", { deliveryGuarantee: "at-least-once" }],
    ["dlq: { retentionDays: 365 }", "D1", { dlq: { retentionDays: 365 } }],
    ["dlq: { retention_days: 90 }", "D2", { dlq: { retentionDays: 90 } }],
    ["retry: { max_attempts: 0 }", "D2", { retry: { maxAttempts: 1 } }],
  ])("read %s as %s to one model", (yaml, dialect, reliability) => {
    const report = read(`reliability:\n  ${yaml}`);
    expect(report).toMatchObject({ valid: true, dialect, warnings: [] });
    expect(report.manifest?.messaging.reliability).toEqual(reliability);
  });

  it("share snake_case spellings of every key", () => {
    const spec = messaging(`publishes:
  - channel: a.b
    content_type: text/plain
    schema: {}
subscribes:
  - { channel: a.b, max_concurrency: 2 }
commands:
  - { name: go, input_schema: { type: object }, output_schema: true, timeout_seconds: 5 }
reliability:
  retry: { backoff: { initial_delay_ms: 1, max_delay_ms: 2 } }
`);
    expect(spec).toEqual({
      publishes: [{ channel: "a.b", contentType: "text/plain", schema: {} }],
      subscribes: [{ channel: "a.b", maxConcurrency: 2 }],
      commands: [{ name: "go", inputSchema: { type: "object" }, outputSchema: true, timeoutSeconds: 5 }],
      reliability: { retry: { backoff: { initialDelayMs: 1, maxDelayMs: 2 } } },
    });
  });

  it("allow wildcards in subscriptions, which only D1 writes", () => {
    const report = read("subscribes: [{ channel: lab.* }, { channel: 'lab.#' }]");
    expect(report).toMatchObject({ valid: true, dialect: "D1" });
  });

  it("are told apart aloud where one manifest mixes them", () => {
    const report = read("reliability: { delivery: at_least_once, retry: { backoff: { strategy: fixed } } }");
    expect(report.valid).toBe(true);
    expect(report.warnings).toMatchObject([
      { path: "spec.messaging", message: expect.stringContaining("strategy: fixed beside delivery") },
    ]);
  });

  it("let a schema refer to another part of the manifest, as OSSA's own examples do", () => {
    const spec = messaging(`publishes:
  - channel: a.b
    schema:
      type: object
      properties: { n: { $ref: "#/$defs/number" }, next: { $ref: "#/spec/messaging/publishes/0/schema" } }
      $defs: { number: { type: number } }
commands:
  - name: list
    outputSchema: { type: array, items: { $ref: "#/spec/messaging/publishes/0/schema" } }
`);
    expect(spec.commands[0]?.outputSchema).toHaveProperty("$defs");
    const report = read(`commands:
  - name: list
    outputSchema: { $ref: "#/spec/messaging/commands/0/nothing" }
  - name: more
    inputSchema: { $ref: "#/spec/messaging/commands/1/outputSchema" }
    outputSchema: { type: strng }
`);
    expect(report.errors.map(({ path, line }) => `${line} ${path}`)).toEqual([
      "9 spec.messaging.commands[0].outputSchema.$ref",
      "12 spec.messaging.commands[1].outputSchema.type",
      "12 spec.messaging.commands[1].outputSchema.type",
    ]);
  });
});

describe("retry in a manifest", () => {
  it.each([
    ["maxAttempts: 3", 3],
    ["maxAttempts: 1", 1],
    ["maxAttempts: 0", 1],
    ["maxRetries: 0", 1],
    ["maxRetries: 3", 4],
    ["max_retries: 2", 3],
  ])("reads %s as %i deliveries", (yaml, deliveries) => {
    expect(messaging(`reliability: { retry: { ${yaml} } }`).reliability.retry).toEqual({
      maxAttempts: deliveries,
    });
  });

  it("reads no backoff as constant, without a delay", () => {
    const { retry } = messaging("reliability: { retry: { backoff: { strategy: none } } }").reliability;
    expect(retry).toEqual({ backoff: { strategy: "constant", initialDelayMs: 0 } });
  });

  it("refuses both ways of counting side by side, even where they agree", () => {
    expect(errors("reliability: { retry: { maxAttempts: 3, maxRetries: 2 } }")).toEqual([
      "spec.messaging.reliability.retry.maxRetries cannot stand beside maxAttempts, which counts the first delivery too",
    ]);
  });

  it("warns of what works here and not elsewhere, or cannot be meant", () => {
    expect(read("reliability: { retry: { maxAttempts: 11 } }").warnings).toHaveLength(1);
    expect(
      read("reliability: { retry: { backoff: { strategy: none, initialDelayMs: 5 } } }").warnings,
    ).toHaveLength(1);
    expect(
      read("reliability: { retry: { backoff: { initialDelayMs: 5, maxDelayMs: 4 } } }").warnings,
    ).toHaveLength(1);
  });
});

describe("the head of a manifest", () => {
  it.each([
    ["apiVersion: ossa/v0.2.9\nkind: Agent", "apiVersion", "Messaging came with ossa/v0.3.0"],
    ["apiVersion: ossa/v0.4.6\nkind: Agent", "apiVersion", "Only versions 0.3.x"],
    ["apiVersion: v1\nkind: Agent", "apiVersion", "ossa/v0.3.0"],
    ["apiVersion: 0.3\nkind: Agent", "apiVersion", "ossa/v0.3.0"],
    ["kind: Agent", "apiVersion", "ossa/v0.3.0"],
    ["apiVersion: ossa/v0.3.0\nkind: MessageRouting", "kind", "kind: Agent"],
    ["apiVersion: ossa/v0.3.0", "kind", "kind: Agent"],
  ])("%s is refused for its %s, with what to do", (yaml, path, hint) => {
    const { errors: found } = readManifest(yaml);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ path, hint: expect.stringContaining(hint) });
  });

  it("needs metadata with a name that can be an id, and a spec", () => {
    const start = "apiVersion: ossa/v0.3.1-rc1\nkind: Agent\n";
    expect(
      readManifest(start)
        .errors.map(({ path }) => path)
        .toSorted(),
    ).toEqual(["metadata", "spec"]);
    expect(readManifest(`${start}metadata: {}\nspec: 1`).errors.map(({ path }) => path)).toEqual([
      "metadata.name",
      "spec",
    ]);
    expect(readManifest(`${start}metadata: { name: a.b }\nspec: {}`).errors).toMatchObject([
      { path: "metadata.name", line: 3 },
    ]);
  });

  it("is told where messaging belongs when it stands outside of spec", () => {
    const { errors: found } = readManifest(`${HEAD}spec: {}\nmessaging:\n  publishes: []`);
    expect(found).toMatchObject([{ path: "messaging", line: 6, column: 1, hint: "Move it under spec." }]);
  });
});

describe("any text", () => {
  it("never makes reading throw: arbitrary JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(readManifest(JSON.stringify(value))).toHaveProperty("valid");
      }),
      { numRuns: 300 },
    );
  });

  it("never makes reading throw: arbitrary values under spec.messaging, and arbitrary keys", () => {
    const words =
      "publishes subscribes commands reliability channel schema name inputSchema retry backoff filter fields dlq ordering " +
      "mode examples constructor toString $ref properties type";
    const key = fc.constantFrom(...words.split(" "));
    const value = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "medium" },
        fc.jsonValue({ maxDepth: 1 }),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(key, tie("value"), { maxKeys: 4 }),
      ),
    })).value;
    fc.assert(
      fc.property(fc.dictionary(key, value), (spec) => {
        const head = { apiVersion: "ossa/v0.3.0", kind: "Agent", metadata: { name: "a" } };
        const report = readManifest(JSON.stringify({ ...head, spec: { messaging: spec } }));
        expect(report.valid).toBe(report.errors.length === 0);
        for (const issue of report.errors) {
          expect(issue.line).toBe(1);
          expect(typeof (issue.hint ?? "")).toBe("string");
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("never makes reading throw: arbitrary characters of YAML", () => {
    const pieces = `a b : - ? & * ! | > % @ [ ] { } , ' " # &a *a - : --- !!str <<:`.split(" ");
    const piece = fc.constantFrom(...pieces, "\n", "\t", " ", "\n  ", "- ", ": ");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        expect(readManifest(pieces.join("")).valid).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});
