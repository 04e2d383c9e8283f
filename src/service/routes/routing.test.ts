import { describe, expect, it } from "vitest";
import type { HeraldError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import { readRouting } from "./read-routing.ts";
import { createRouting } from "./routing.ts";

type Rule = Readonly<Record<string, unknown>>;

function document(rules: readonly Rule[], more: Readonly<Record<string, unknown>> = {}, name = "team") {
  return { apiVersion: "ossa/v0.3.1", kind: "MessageRouting", metadata: { name }, spec: { rules, ...more } };
}

function message(source: string, channel: string, payload: unknown = {}, priority = 50): Message {
  const metadata = { priority, retryCount: 0, contentType: "application/json" };
  return { id: "m1", timestamp: "2026-01-01T00:00:00.000Z", source, channel, payload, metadata };
}

async function refusal(documents: unknown, options = {}): Promise<HeraldError> {
  return createRouting(documents, options).then(
    () => {
      throw new Error("It was accepted.");
    },
    (error: HeraldError) => error,
  );
}

const OSSA_EXAMPLE = `
apiVersion: ossa/v0.3.1
kind: MessageRouting
metadata:
  name: security-workflow
spec:
  rules:
    - source: dependency-healer
      channel: security.vulnerabilities
      targets:
        - security-scanner
        - monitoring-agent
      filter:
        fields:
          severity: [high, critical]
      priority: high

    - source: security-scanner
      channel: incident.response.triggered
      targets:
        - incident-responder
        - compliance-auditor
      priority: critical

  defaultRoute:
    action: dlq

  transforms:
    extract_critical:
      type: jmespath
      expression: "{id: vulnerability_id, severity: severity, package: affected_package}"
`;

describe("the document of the specification", () => {
  it("is read whole", async () => {
    expect(readRouting(OSSA_EXAMPLE)).toMatchObject({ valid: true, errors: [], warnings: [] });
    const routing = await createRouting(OSSA_EXAMPLE);
    const high = message("dependency-healer", "security.vulnerabilities", { severity: "high" });
    expect(routing.table.plan(high).copies.map(({ target }) => target)).toEqual([
      "security-scanner",
      "monitoring-agent",
    ]);
    const low = message("dependency-healer", "security.vulnerabilities", { severity: "low" });
    expect(routing.table.plan(low)).toEqual({ copies: [], otherwise: { action: "dlq", targets: [] } });
  });

  it("may stand with others in one text, and every rule counts", async () => {
    const other = OSSA_EXAMPLE.replace("security-workflow", "other").replace(/ {2}defaultRoute:\n.*\n/, "");
    const routing = await createRouting(`${OSSA_EXAMPLE}\n---\n${other}`);
    expect(routing.rules).toHaveLength(4);
    const read = readRouting(`${OSSA_EXAMPLE}\n---\nkind: MessageRouting\n---\n${other}`);
    expect(read).toMatchObject({
      valid: false,
      documents: [{ name: "security-workflow" }, { name: "other" }],
    });
    expect(read.errors[0]?.line).toBeGreaterThan(30);
  });
});

describe("rules", () => {
  it("take sources and channels by pattern, and are switched off by enabled: false", async () => {
    const routing = await createRouting(
      document([
        { id: "all", source: "*", channel: "orders.#", targets: ["audit"] },
        { id: "scan", source: "scan-*", channel: "*.found", targets: ["triage"] },
        { id: "off", source: "*", channel: "#", targets: ["nobody"], enabled: false },
      ]),
    );
    const targets = (source: string, channel: string) =>
      routing.table.plan(message(source, channel)).copies.map(({ target }) => target);
    expect(targets("shop", "orders.created.eu")).toEqual(["audit"]);
    expect(targets("scan-1", "orders.found")).toEqual(["audit", "triage"]);
    expect(targets("scanner", "bugs.found")).toEqual([]);
    // What a target publishes itself does not come back to it.
    expect(targets("audit", "orders.created")).toEqual([]);
  });

  it("all apply, in the order of their priority; an agent that two name gets one copy, by the first", async () => {
    const rule = { source: "a", channel: "c" };
    const routing = await createRouting([
      document([
        { ...rule, id: "low", priority: "low", targets: ["x", "l"] },
        { ...rule, id: "normal", targets: ["x"] },
      ]),
      document([{ ...rule, id: "high", priority: "high", targets: ["x", "h"] }], {}, "other"),
    ]);
    const { copies } = routing.table.plan(message("a", "c"));
    expect(copies.map(({ target, rule: { id } }) => [target, id])).toEqual([
      ["x", "high"],
      ["h", "high"],
      ["l", "low"],
    ]);
  });

  it("never reach commands, replies, dead letters and what goes to one agent or to all", async () => {
    const routing = await createRouting(
      document([{ source: "*", channel: "#", targets: ["x"] }], { defaultRoute: { action: "dlq" } }),
    );
    for (const channel of ["reply.1", "dlq.a", "agent.b.commands.c", "agent-b", "hub-broadcast", "system.x"])
      expect(routing.table.plan(message("a", channel))).toEqual({ copies: [], otherwise: undefined });
  });

  it("filter by fields and by expression, both", async () => {
    const filter = { fields: { severity: ["high"] }, expression: "payload.n > 3" };
    const routing = await createRouting(document([{ source: "a", channel: "c", targets: ["x"], filter }]));
    const passes = (payload: unknown) => routing.table.plan(message("a", "c", payload)).copies.length === 1;
    expect(
      [{ severity: "high", n: 4 }, { severity: "low", n: 4 }, { severity: "high", n: 3 }, {}].map(passes),
    ).toEqual([true, false, false, false]);
  });
});

describe("circular routes", () => {
  const rule = (source: string, target: string, channel = "work.#") => ({
    id: `${source.replace("*", "any")}-${target}`,
    source,
    channel,
    targets: [target],
  });

  it.each([
    ["an agent that sends to itself", [rule("a", "a")], ["a", "a"]],
    ["two agents", [rule("a", "b"), rule("b", "a")], ["a", "b", "a"]],
    [
      "three agents, on channels that overlap",
      [rule("a", "b", "work.*"), rule("b", "c", "work.new"), rule("c", "a", "#")],
      ["a", "b", "c", "a"],
    ],
    ["a pattern of sources", [rule("*", "b"), rule("b", "c")], ["b", "c", "b"]],
  ])("are refused, the circle named: %s", async (_what, rules, circle) => {
    const error = await refusal(document(rules));
    expect(error.code).toBe("INVALID_MANIFEST");
    const named = error.details["circle"] as string[];
    expect(error.message).toContain(named.join(" → "));
    expect(named[0]).toBe(named.at(-1));
    expect([...new Set(named)].toSorted()).toEqual([...new Set(circle)].toSorted());
  });

  it("are found across documents", async () => {
    const error = await refusal([document([rule("a", "b")]), document([rule("b", "a")], {}, "other")]);
    expect(error.message).toContain("a → b → a (by");
  });

  it.each([
    ["question and answer on two channels", [rule("a", "b", "questions"), rule("b", "a", "answers")]],
    ["a circle with a rule that is switched off", [rule("a", "b"), { ...rule("b", "a"), enabled: false }]],
    ["a pattern of sources with several targets", [{ source: "*", channel: "alerts", targets: ["x", "y"] }]],
    ["a diamond", [rule("a", "b"), rule("a", "c"), rule("b", "d"), rule("c", "d")]],
  ])("are not seen where there are none: %s", async (_what, rules) => {
    await createRouting(document(rules));
  });

  it("are looked for in 10,000 rules in a chain without running out of stack", async () => {
    const rules = Array.from({ length: 10_000 }, (_none, n) => rule(`a${n}`, `a${n + 1}`));
    await createRouting(document(rules));
    const error = await refusal(document([...rules, rule("a10000", "a0")]));
    expect((error.details["circle"] as string[]).length).toBe(10_002);
    expect(error.message.length).toBeLessThan(600);
  });
});

describe("a document that is wrong", () => {
  it.each([
    ["no targets", [{ source: "a", channel: "c", targets: [] }], "spec.rules[0].targets"],
    [
      "a target that is no agent",
      [{ source: "a", channel: "c", targets: ["x.y"] }],
      "spec.rules[0].targets[0]",
    ],
    ["no channel", [{ source: "a", targets: ["x"] }], "spec.rules[0]"],
    ["a channel that is none", [{ source: "a", channel: "a..b", targets: ["x"] }], "spec.rules[0].channel"],
    [
      "a channel of the runtime",
      [{ source: "a", channel: "reply.*", targets: ["x"] }],
      "spec.rules[0].channel",
    ],
    ["a source that is none", [{ source: "a b", channel: "c", targets: ["x"] }], "spec.rules[0].source"],
    [
      "a transform that is not there",
      [{ source: "a", channel: "c", targets: ["x"], transform: "no" }],
      "spec.rules[0].transform",
    ],
    ["an unknown key", [{ source: "a", channel: "c", targets: ["x"], to: "x" }], "spec.rules[0].to"],
    [
      "a filter that cannot be compiled",
      [{ source: "a", channel: "c", targets: ["x"], filter: { expression: "payload.(" } }],
      "spec.rules[0].filter.expression",
    ],
    [
      "an id twice",
      [
        { id: "i", source: "a", channel: "c", targets: ["x"] },
        { id: "i", source: "b", channel: "c", targets: ["x"] },
      ],
      "spec.rules[1].id",
    ],
  ])("is refused with the place: %s", async (_what, rules, path) => {
    const error = await refusal(document(rules));
    expect(error.code).toBe("INVALID_MANIFEST");
    expect((error.details["issues"] as { path: string }[]).map((issue) => issue.path)).toContain(path);
  });

  it("is refused for what it says of another one: a name, an id or a default route twice", async () => {
    const rules = [{ source: "a", channel: "c", targets: ["x"] }];
    const withDefault = { defaultRoute: { action: "dlq" } };
    expect((await refusal([document(rules), document(rules)])).message).toContain("called 'team'");
    const named = rules.map((rule) => ({ ...rule, id: "r" }));
    expect((await refusal([document(named), document(named, {}, "b")])).message).toContain("the id 'r'");
    expect(
      (await refusal([document(rules, withDefault), document(rules, withDefault, "b")])).message,
    ).toContain("team and b");
  });

  it.each([
    ["JSONata that cannot be read", { type: "jsonata", expression: "a.(" }],
    ["JMESPath that cannot be read", { type: "jmespath", expression: "a[" }],
    ["a template that calculates", { type: "template", expression: "{{ 1 + 1 }}" }],
    ["a function that is not given", { type: "custom", expression: "gone" }],
  ])("is refused, its transform named: %s", async (_what, transform) => {
    const error = await refusal(document([], { transforms: { tidy: transform } }));
    expect(error).toMatchObject({
      code: "INVALID_MANIFEST",
      message: expect.stringContaining("'tidy' of 'team'") as string,
    });
  });

  it("may be a bomb, a megabyte or a hundred documents: it is refused and nothing grows", () => {
    const aliases = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghi"
      .split("")
      .map((name, at) => `${name}: &${name} [${`*${"abcdefgh"[at]},`.repeat(9)}]`)
      .join("\n")}`;
    for (const text of [aliases, "x".repeat(2_000_000), "---\na: 1\n".repeat(1000), "", "[".repeat(100_000)])
      expect(readRouting(text)).toMatchObject({ valid: false, documents: [] });
  });
});

describe("explain()", () => {
  it("says of every rule what it did and why, and what each target would get", async () => {
    const rule = { source: "a", channel: "c.*", targets: ["x"] };
    const routing = await createRouting(
      document(
        [
          { ...rule, id: "off", enabled: false },
          { ...rule, id: "channel", channel: "d" },
          { ...rule, id: "source", source: "b" },
          { ...rule, id: "fields", filter: { fields: { n: 2 } } },
          { ...rule, id: "expression", filter: { expression: "payload.n == 3" } },
          { ...rule, id: "first", priority: "high", transform: "short", targets: ["x", "y"] },
          { ...rule, id: "second" },
          { ...rule, id: "broken", transform: "broken", targets: ["z"] },
        ],
        {
          transforms: {
            short: { type: "template", expression: { n: "{{n}}" } },
            broken: { type: "template", expression: "{{gone}}" },
          },
        },
      ),
    );
    const { verdicts, copies, otherwise } = await routing.explain(message("a", "c.d", { n: 1, more: true }));
    expect(verdicts.map(({ rule: { id }, applied, because }) => [id, applied, because])).toEqual([
      ["first", true, "a copy goes to x, y"],
      ["off", false, "it is switched off (enabled: false)"],
      ["channel", false, "its channel d does not cover c.d"],
      ["source", false, "its source b is not a"],
      ["fields", false, "its filter wants n to be 2"],
      ["expression", false, "its filter's expression does not hold: payload.n == 3"],
      ["second", true, "x has its copy by first"],
      ["broken", true, "a copy goes to z"],
    ]);
    expect(
      copies.map(({ target, result }) => [target, result.ok ? result.payload : result.error.code]),
    ).toEqual([
      ["x", { n: 1 }],
      ["y", { n: 1 }],
      ["z", "TRANSFORM_FAILED"],
    ]);
    expect(otherwise).toBeUndefined();
  });
});
