import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { manifest, withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

const RULES = ["--routing", manifest("rules")];
const ORDER = '{"channel":"orders.created","source":"shop","payload":{"id":1,"item":"tea"}}';

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald route explain", () => {
  it("says which rule did what and why, and what would be sent where", async () => {
    const { exit, stdout } = await call(["route", "explain", ORDER, ...RULES]);
    expect(exit).toBe(0);
    expect(stdout.split("\n")).toEqual([
      "RULE       VERDICT  BECAUSE",
      "pack       no       its filter wants express to be true",
      "everybody  applies  a copy goes to packer, auditor",
      "shout      applies  a copy goes to reader",
      "later      no       it is switched off (enabled: false)",
      "The message goes to its own channel, orders.created, as without rules.",
      "A copy goes to packer on agent-packer by rule everybody:",
      '  {"id":1,"item":"tea"}',
      "A copy goes to auditor on agent-auditor by rule everybody:",
      '  {"id":1,"item":"tea"}',
      "A copy goes to reader on agent-reader by rule shout, made by transform louder:",
      '  "TEA"',
      "",
    ]);
  });

  it("gives an agent that two rules name the copy of the one that goes first", async () => {
    const express = ORDER.replace('"id":1', '"id":1,"express":true');
    const lines = jsonLines((await call(["route", "explain", express, "--json", ...RULES])).stdout);
    expect(lines.filter(({ type }) => type === "copy").slice(0, 2)).toMatchObject([
      { target: "packer", rule: "pack", transform: "short", payload: { id: 1 }, failure: null },
      { target: "auditor", rule: "everybody", transform: null },
    ]);
    expect(lines.find(({ rule }) => rule === "everybody")).toMatchObject({
      applied: true,
      because: "a copy goes to auditor; packer has its copy by pack",
      targets: ["auditor"],
    });
  });

  it("says what the default route does, and why rules do not reach a channel", async () => {
    const none = await call(["route", "explain", '{"channel":"bills.paid","source":"shop"}', ...RULES]);
    expect(none.stdout).toContain(
      "No rule takes it; the default route is dlq: it also goes to the dead letters of\nits agent.",
    );
    const exempt = await call(["route", "explain", '{"channel":"agent-packer","source":"shop"}', ...RULES]);
    expect(exempt.stdout).toContain("rules do not reach channels that begin with agent-");
  });

  it("shows what a transform fails with, and that the copy is a dead letter", async () => {
    const bare = '{"channel":"orders.created","source":"shop","payload":{}}';
    const { exit, stdout } = await call(["route", "explain", bare, ...RULES]);
    expect(exit).toBe(0);
    expect(stdout.replaceAll(/\s+/g, " ")).toMatch(/TRANSFORM_FAILED: .* It goes to the dead letters\./);
  });

  it("takes messages from standard input, one a line, and says which of them is none", async () => {
    const stdin = `${ORDER}\n{"channel":"orders.created"}\n`;
    const { exit, stdout, stderr } = await call(["route", "explain", "-", "--json", ...RULES], { stdin });
    expect(exit).toBe(2);
    expect(jsonLines(stdout).at(-1)).toEqual({ type: "route", id: "explained", copies: 3, default: null });
    expect(stderr).toContain("Line 2: The message has no source");
  });

  it("ends with 64 without rules, with 66 for a file that is not there and with 65 for rules that are wrong", async () => {
    expect((await call(["route", "explain", ORDER])).exit).toBe(64);
    expect((await call(["route", "explain", ORDER, "-r", "/no/such.yaml"])).exit).toBe(66);
    expect((await call(["route", "explain", ORDER, "-r", manifest("shop")])).exit).toBe(65);
  });
});

describe("--routing", () => {
  it("routes what the command line publishes to the agents that it starts", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-route-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const rules = path.join(folder, "rules.yaml");
    const rule = "{ source: herald-cli, channel: bills.*, targets: [packer] }";
    writeFileSync(
      rules,
      `apiVersion: ossa/v0.3.1\nkind: MessageRouting\nmetadata: { name: bills }\nspec: { rules: [${rule}] }\n`,
    );
    const { exit, stdout } = await call([
      "publish",
      "bills.paid",
      '{"id":1}',
      "--json",
      "--no-validate",
      "-r",
      rules,
      ...withAgents("packer"),
    ]);
    expect(exit).toBe(0);
    const channels = jsonLines(stdout).filter(({ type }) => type === "channel");
    expect(channels).toMatchObject([
      { channel: "agent-packer", published: 1 },
      { channel: "bills.paid", published: 1 },
    ]);
  });
});

describe("herald validate", () => {
  it("checks routing files too, alone and all of them together", async () => {
    expect(await call(["validate", manifest("rules"), manifest("shop")])).toMatchObject({ exit: 0 });
    const folder = mkdtempSync(path.join(tmpdir(), "herald-route-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const back = path.join(folder, "back.yaml");
    const text = readFileSync(manifest("rules"), "utf8").split("---")[1] as string;
    writeFileSync(
      back,
      text
        .replace("name: off", "name: back")
        .replace("source: shop", "source: reader")
        .replace("[later]", "[shop]")
        .replace("enabled: false", "enabled: true")
        .replace("id: later", "id: back"),
    );
    const circle = await call(["validate", manifest("rules"), back]);
    expect(circle.exit).toBe(2);
    expect(circle.stdout.replaceAll(/\s+/g, " ")).toMatch(
      /Routes go in a circle: (?:shop → reader → shop|reader → shop → reader)/,
    );
    writeFileSync(back, text.replace("targets: [later]", "targets: []"));
    const wrong = await call(["validate", back]);
    expect([wrong.exit, wrong.stdout]).toEqual([
      65,
      expect.stringContaining("spec.rules[0].targets must be a list of 1 to 100"),
    ]);
  });
});
