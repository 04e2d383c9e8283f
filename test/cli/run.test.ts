import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manifest } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald run", () => {
  it("runs agents until nothing is left to do, and says what happened", async () => {
    const { exit, stdout, stderr } = await call([
      "run",
      "--until-idle",
      manifest("seller"),
      manifest("packer"),
    ]);
    expect(exit).toBe(0);
    expect(stderr).toMatch(/^2 agents started: seller, packer\. They stop when nothing is left to do\.\n/);
    expect(stdout).toContain("6 published, 2 handled, 2 retries, 1 dead-lettered in ");
  });

  it("prints its start and its sums for programs", async () => {
    const { stdout } = await call(["run", "--json", "--until-idle", manifest("seller"), manifest("packer")]);
    const lines = jsonLines(stdout);
    expect(lines[0]).toEqual({
      type: "started",
      agents: ["seller", "packer"],
      broker: "memory",
      durability: "none",
    });
    expect(lines.filter(({ type }) => type === "channel").map(({ channel }) => channel)).toEqual([
      "dlq.packer",
      "orders.created",
      "orders.packed",
    ]);
    expect(lines.at(-2)).toMatchObject({
      type: "summary",
      published: 6,
      handled: 2,
      retried: 2,
      deadLettered: 1,
    });
  });

  it("waits for work that is under way", async () => {
    vi.stubEnv("WORK_MS", "60");
    const { stdout } = await call(["run", "--json", "--until-idle", manifest("slow"), manifest("ticker")]);
    expect(jsonLines(stdout).at(-1)).toMatchObject({ type: "summary", published: 2, handled: 1 });
  });

  it("says nothing on stderr when quiet", async () => {
    expect((await call(["run", "-q", "--until-idle", manifest("shop")])).stderr).toBe("");
  });

  it("fits 40 columns", async () => {
    const { stdout } = await call(["run", "--until-idle", manifest("seller"), manifest("packer")], {
      columns: 40,
    });
    // oxlint-disable-next-line no-control-regex -- colours take no room.
    const lines = stdout.split("\n").map((line) => line.replaceAll(/\u001b\[\d+m/g, ""));
    expect(lines.filter((line) => line.length > 40)).toEqual([]);
  });

  it.each([
    ["a manifest that is not there", "/nowhere.yaml", 66, "There is no file"],
    ["a manifest with errors", manifest("broken"), 65, "Did you mean publishes?"],
    ["handlers without a module", manifest("lonely"), 66, "there is no module beside it"],
    ["a handler that the module does not export", manifest("unbound"), 65, "There is no function 'hear'"],
    ["a module that throws", manifest("throws"), 1, "could not be loaded: this module is broken"],
    [
      "an activity that ends with an error",
      manifest("quits"),
      1,
      "The activity of agent 'quits' ended with an error: no more work",
    ],
  ])("tells of %s", async (_what, file, expected, message) => {
    const { exit, stderr } = await call(["run", file]);
    expect(exit).toBe(expected);
    expect(stderr).toContain(message);
  });
});
