import { describe, expect, it } from "vitest";
import { checkTogether, type TogetherIssue } from "./check-together.ts";
import type { AgentManifest } from "./model.ts";
import { parseMessaging } from "./parse-messaging.ts";
import { readManifest } from "./read-manifest.ts";

function agent(agentId: string, messaging: string): AgentManifest {
  const text = `apiVersion: ossa/v0.3.0
kind: Agent
metadata: { name: ${agentId} }
spec:
  messaging: ${messaging}
`;
  const report = readManifest(text, { file: `${agentId}.yaml` });
  if (report.manifest === undefined)
    throw new Error(report.errors.map(({ path, message }) => `${path} ${message}`).join("; "));
  return report.manifest;
}

function check(...manifests: AgentManifest[]): readonly string[] {
  return checkTogether(manifests).map(
    (issue: TogetherIssue) => `${issue.severity} ${issue.agentId} ${issue.path}`,
  );
}

const TEXT = "{ type: object, required: [a], properties: { a: { type: string } } }";
const NUMBER = "{ type: object, required: [a], properties: { a: { type: number } } }";

describe("manifests looked at together", () => {
  it("have nothing to report when they fit", () => {
    const first = agent(
      "first",
      `{ publishes: [{ channel: lab.results, schema: ${TEXT} }], reliability: { dlq: { enabled: true } } }`,
    );
    const second = agent(
      "second",
      `{ subscribes: [{ channel: lab.results, schema: ${TEXT} }, { channel: dlq.first }] }`,
    );
    expect(check(first, second)).toEqual([]);
    expect(check()).toEqual([]);
  });

  it("name a subscription that nobody publishes to, with the channel that may be meant", () => {
    const first = agent("first", "{ publishes: [{ channel: lab.results, schema: {} }] }");
    const second = agent(
      "second",
      "{ subscribes: [{ channel: lab.result }, { channel: other.* }, { channel: 'lab.#' }] }",
    );
    expect(checkTogether([first, second])).toEqual([
      {
        severity: "warning",
        agentId: "second",
        file: "second.yaml",
        path: "spec.messaging.subscribes[0].channel",
        line: 5,
        column: 40,
        message: "is no channel that one of these agents publishes to",
        hint: "Did you mean lab.results?",
      },
      expect.objectContaining({
        path: "spec.messaging.subscribes[1].channel",
        message: "covers no channel that one of these agents publishes to",
        hint: "Declare it under publishes of the agent that sends it.",
      }),
    ]);
  });

  it("do not miss a publisher of what the runtime itself sends", () => {
    const listener = agent(
      "listener",
      "{ subscribes: [{ channel: hub-broadcast }, { channel: agent-listener }, { channel: 'agent.#' }, { channel: dlq.listener }, { channel: dlq.* }] }",
    );
    expect(check(listener)).toEqual([]);
    expect(check(agent("other", "{ subscribes: [{ channel: dlq.nobody }] }"))).toEqual([
      "warning other spec.messaging.subscribes[0].channel",
    ]);
  });

  it("name a subscriber that refuses what a publisher may send, by name and by pattern", () => {
    const first = agent(
      "first",
      `{ publishes: [{ channel: lab.results, schema: ${TEXT} }, { channel: lab.raw, schema: {} }, { channel: lab.x }] }`,
    );
    const second = agent(
      "second",
      `{ subscribes: [{ channel: lab.results, schema: ${NUMBER} }, { channel: lab.*, schema: ${NUMBER} }] }`,
    );
    const issues = checkTogether([first, second]);
    expect(issues.map(({ severity, path }) => `${severity} ${path}`)).toEqual([
      "error spec.messaging.subscribes[0].schema",
      "error spec.messaging.subscribes[1].schema",
    ]);
    expect(issues[0]).toMatchObject({
      agentId: "second",
      line: 5,
      message:
        "refuses what agent first (first.yaml) may publish on lab.results: a: the publisher may send string, the subscriber takes number",
    });
  });

  it("name only the first three of many differences", () => {
    const required = Array.from({ length: 5 }, (_, i) => `p${i}`).join(", ");
    const first = agent("first", "{ publishes: [{ channel: a, schema: { type: object } }] }");
    const second = agent(
      "second",
      `{ subscribes: [{ channel: a, schema: { type: object, required: [${required}] } }] }`,
    );
    expect(checkTogether([first, second])[0]?.message).toMatch(/p2: [^;]*; and 2 more$/);
  });

  it("name two agents with one id, and each command that both of them answer", () => {
    const first = agent("twin", "{ commands: [{ name: go }, { name: stop }] }");
    const second = { ...agent("twin", "{ commands: [{ name: wait }, { name: go }] }"), file: "second.yaml" };
    const issues = checkTogether([first, second]);
    expect(issues).toMatchObject([
      {
        severity: "error",
        file: "second.yaml",
        path: "metadata.name",
        message: "is the id of another agent too: agent twin (twin.yaml) has twin already",
      },
      { severity: "error", file: "second.yaml", path: "spec.messaging.commands[1].name" },
    ]);
  });

  it("let different agents answer commands of one name, because each has a channel of its own", () => {
    expect(
      check(agent("one", "{ commands: [{ name: go }] }"), agent("two", "{ commands: [{ name: go }] }")),
    ).toEqual([]);
  });

  it.each([
    ["{ reliability: { dlq: { enabled: true } } }", ["warning a spec.messaging.reliability.dlq"]],
    [
      "{ reliability: { dlq: { channel: lost.letters } } }",
      ["warning a spec.messaging.reliability.dlq.channel"],
    ],
    ["{ reliability: { dlq: { enabled: true, channel: dlq.mine } }, subscribes: [{ channel: dlq.* }] }", []],
    ["{ reliability: { dlq: { enabled: false, channel: dlq.mine } } }", []],
    ["{ reliability: { dlq: { retentionDays: 3 } } }", []],
    ["{ reliability: {} }", []],
  ])("with %s report %j about dead letters", (messaging, expected) => {
    expect(check(agent("a", messaging))).toEqual(expected);
  });

  it("have no position, and no schema to compare, when they were written in code", () => {
    const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
    const manifest: AgentManifest = {
      agentId: "coded",
      agentName: undefined,
      apiVersion: "ossa/v0.3.0",
      file: undefined,
      dialect: "D2",
      messaging: parseMessaging({
        publishes: [{ channel: "a", schema }],
        subscribes: [{ channel: "a", schema: { type: "string" } }, { channel: "b" }],
      }),
    };
    expect(checkTogether([manifest])).toMatchObject([
      { path: "spec.messaging.subscribes[1].channel", line: 0, column: 0, file: undefined },
    ]);
    expect(checkTogether([manifest, manifest])[0]?.message).toContain("agent coded has coded already");
  });
});
