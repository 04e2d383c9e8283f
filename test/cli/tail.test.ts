import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald tail", () => {
  it("prints what the agents exchange, payloads under their headings", async () => {
    const { exit, stdout } = await call([
      "tail",
      "orders.*",
      "--until-idle",
      ...withAgents("seller", "packer"),
    ]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3}Z {2}orders\.created {2}seller\n {2}\{"id":1,"item":"book"\}\n/,
    );
    expect(stdout.match(/orders\.packed {2}packer/g)).toHaveLength(2);
  });

  it("prints whole messages for programs and ends at its limit", async () => {
    const { exit, stdout } = await call([
      "tail",
      "#",
      "--json",
      "--limit",
      "2",
      ...withAgents("seller", "packer"),
    ]);
    const lines = jsonLines(stdout);
    expect([exit, lines.length]).toEqual([0, 2]);
    expect(Object.keys(lines[0] ?? {})).toEqual([
      "id",
      "timestamp",
      "source",
      "channel",
      "payload",
      "metadata",
    ]);
  });

  it("prints only what its expression holds for", async () => {
    const { stdout } = await call([
      "tail",
      "orders.created",
      "--json",
      "--until-idle",
      "--where",
      "payload.id > 1",
      ...withAgents("seller", "packer"),
    ]);
    expect(jsonLines(stdout).map(({ id }) => id)).toEqual(["order-2", "order-3"]);
  });

  it("cuts lines to the terminal", async () => {
    vi.stubEnv("COLUMNS", "20");
    const { stdout } = await call([
      "tail",
      "orders.created",
      "--limit",
      "1",
      ...withAgents("seller", "packer"),
    ]);
    expect(stdout.split("\n").every((line) => line.length <= 20)).toBe(true);
    expect(stdout).toContain("…");
  });

  it.each([
    ["a pattern that is none", ["a..b"], "is not a channel pattern"],
    ["an expression that cannot be read", ["#", "--where", "data.("], "expression"],
    ["a limit that is none", ["#", "--limit", "0"], "'0' is not a whole number of 1 or more."],
  ])("refuses %s", async (_what, args, message) => {
    const { exit, stderr } = await call(["tail", ...args, ...withAgents("packer")]);
    expect(exit).toBe(64);
    expect(stderr).toContain(message);
  });
});
