import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald lag and herald channels", () => {
  it("lag prints what waits for each group", async () => {
    const settled = await call(["lag", ...withAgents("seller", "packer")]);
    expect(settled.stdout).toMatch(/^CHANNEL +GROUP +LAG +UNSETTLED\norders\.created +packer +0 +0\n$/);
    expect(settled.exit).toBe(0);
  });

  it("lag ends with 3 when more waits than may", async () => {
    vi.stubEnv("WORK_MS", "300");
    const args = [
      "lag",
      "--json",
      "--settle",
      "10ms",
      "--fail-over",
      "0",
      "--group",
      "slow",
      "--channel",
      "work.todo",
      ...withAgents("slow", "ticker"),
    ];
    const { exit, stdout, stderr } = await call(args);
    expect(jsonLines(stdout)).toEqual([
      { type: "lag", channel: "work.todo", group: "slow", lag: 1, unsettled: 1 },
    ]);
    expect(stderr).toContain("1 group has a lag over 0.");
    expect(exit).toBe(3);
  });

  it("lag says so when no group reads anything", async () => {
    expect((await call(["lag", ...withAgents("seller")])).stdout).toMatch(/^No group reads/);
  });

  it("channels prints who publishes and who listens", async () => {
    const { exit, stdout } = await call(["channels", ...withAgents("seller", "packer")]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/\norders\.created +3 +0 +seller +packer +3\n/);
    expect(stdout).toMatch(/\norders\.packed +2 +0 +packer +- +2\n/);
  });

  it("channels prints those of a pattern for programs, also those that nothing was published on", async () => {
    const { stdout } = await call(["channels", "orders.*", "--json", ...withAgents("shop", "packer")]);
    expect(jsonLines(stdout)).toEqual([
      {
        type: "channel",
        channel: "orders.created",
        published: 0,
        lag: 0,
        depth: 0,
        publishers: ["shop"],
        subscribers: ["packer"],
      },
      {
        type: "channel",
        channel: "orders.packed",
        published: 0,
        lag: 0,
        depth: 0,
        publishers: ["packer"],
        subscribers: [],
      },
    ]);
  });

  it("channels says so when there is none, and refuses what is no pattern", async () => {
    expect((await call(["channels", "nothing", ...withAgents("packer")])).stdout).toMatch(
      /^There is no such channel\./,
    );
    expect((await call(["channels", "a..", ...withAgents("packer")])).exit).toBe(64);
  });
});
