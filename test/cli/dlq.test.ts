import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald dlq", () => {
  const agents = withAgents("seller", "packer");

  it("lists what the agents have given up on", async () => {
    const { exit, stdout, stderr } = await call(["dlq", "list", ...agents]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^CHANNEL +CODE +REASON/);
    expect(stdout).toMatch(/\norders\.created +HANDLER_FAILED +a bomb is not packed/);
    expect(stderr).toContain("herald dlq redrive --all");
  });

  it("lists them one a line for programs, those that are asked for", async () => {
    const { stdout } = await call([
      "dlq",
      "list",
      "--json",
      "--channel",
      "orders.created",
      "--group",
      "packer",
      "--code",
      "HANDLER_FAILED",
      "--agent",
      "packer",
      "--limit",
      "5",
      ...agents,
    ]);
    expect(jsonLines(stdout)).toMatchObject([
      { type: "dead-letter", id: "order-3", group: "packer", redriven: 0, deadLetterChannel: "dlq.packer" },
    ]);
    expect((await call(["dlq", "list", "--json", "--code", "EXPIRED", ...agents])).stdout).toBe("");
  });

  it("says when there is none", async () => {
    expect((await call(["dlq", "list", ...withAgents("packer")])).stdout).toBe("There is no dead letter.\n");
  });

  it("shows one in full", async () => {
    const { exit, stdout } = await call(["dlq", "show", "order-3", ...agents]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^id {8}order-3\nchannel {3}orders\.created \(group packer, agent packer\)\n/);
    expect(stdout.match(/attempt \d HANDLER_FAILED/g)).toHaveLength(2);
    expect(stdout).toContain('payload\n  {\n    "id": 3,\n    "item": "bomb"\n  }\n');
  });

  it("shows every failure, the headers, the message and its bytes to programs", async () => {
    const { stdout } = await call(["dlq", "show", "--json", ...agents]);
    expect(jsonLines(stdout)).toMatchObject([
      {
        id: "order-3",
        failures: [{ attempt: 1, code: "HANDLER_FAILED", at: expect.stringMatching(/Z$/) }, { attempt: 2 }],
        headers: {},
        message: { id: "order-3", payload: { id: 3, item: "bomb" } },
        bodyBase64: Buffer.from('{"id":3,"item":"bomb"}').toString("base64"),
      },
    ]);
  });

  it("shows bytes that are no JSON by their number", async () => {
    const { stdout } = await call(["dlq", "show", ...withAgents("garbler", "packer")]);
    expect(stdout).toMatch(/\npayload {3}2 bytes of application\/octet-stream\n$/);
  });

  it.each(["show", "redrive", "purge"])("%s tells of an id that is not there", async (name) => {
    const { exit, stderr } = await call(["dlq", name, "order-9", ...agents]);
    expect(exit).toBe(1);
    expect(stderr).toContain("There is no dead letter with the id 'order-9'.");
  });

  it("sends one back, and ends with 1 when all of them are dead again", async () => {
    const { exit, stdout } = await call(["dlq", "redrive", "--json", "order-3", ...agents]);
    expect([exit, jsonLines(stdout)]).toEqual([1, [{ type: "redrive", redriven: 1, deadAgain: 1 }]]);
  });

  it("sends all back, and ends with 2 when some of them are dead again", async () => {
    const { exit, stdout } = await call([
      "dlq",
      "redrive",
      "--all",
      ...withAgents("seller", "repaired", "packer"),
    ]);
    expect(stdout).toMatch(/^3 dead letters sent back, 1 dead again\.\nCHANNEL/);
    expect(exit).toBe(2);
  });

  it("only counts what would be sent back or purged in a dry run", async () => {
    const redriven = await call(["dlq", "redrive", "--dry-run", "--json", "--all", ...agents]);
    expect(jsonLines(redriven.stdout)).toEqual([
      { type: "redrive", redriven: 0, wouldRedrive: 1, deadAgain: 0 },
    ]);
    const purged = await call(["dlq", "purge", "--dry-run", "--code", "HANDLER_FAILED", ...agents]);
    expect(purged.stdout).toBe("1 dead letter would be purged.\n");
  });

  it("purges", async () => {
    const { exit, stdout } = await call(["dlq", "purge", "order-3", "--json", ...agents]);
    expect([exit, jsonLines(stdout)]).toEqual([0, [{ type: "purge", purged: 1 }]]);
  });

  it.each(["redrive", "purge"])("%s does nothing before it is told which", async (name) => {
    const { exit, stderr } = await call(["dlq", name, ...agents]);
    expect(exit).toBe(64);
    expect(stderr).toContain("or --all.");
  });
});
