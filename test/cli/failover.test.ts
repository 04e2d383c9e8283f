import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { FailoverBroker, FileBroker } from "../../src/index.ts";
import { jsonLines } from "./support/in-process.ts";
import { herald } from "./support/spawn.ts";

const folder = mkdtempSync(path.join(tmpdir(), "herald-switch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sides = [path.join(folder, "primary"), path.join(folder, "fallback")] as const;
const URL = `failover:file:${sides[0]}|file:${sides[1]}`;

describe("a switch by hand on the command line", () => {
  it("is followed by other processes, both ways; a dry run switches nothing", async () => {
    const other = new FailoverBroker({
      primary: new FileBroker({ directory: sides[0] }),
      fallback: new FileBroker({ directory: sides[1] }),
      coordination: { transitionCooldown: 0 },
    });
    await other.open();
    const turned = (mode: string) =>
      new Promise<void>((resolve) => {
        other.coordination.on("modeChanged", (_from, to) => {
          if (to === mode) resolve();
        });
      });

    const dry = await herald(["broker", "failover", "--dry-run", "--json", "--url", URL]);
    expect([dry.exit, jsonLines(dry.stdout)[0]]).toMatchObject([0, { mode: "distributed", dryRun: true }]);
    expect(other.control.mode).toBe("distributed");

    const isolated = turned("isolated");
    const there = await herald(["broker", "failover", "--json", "--url", URL]);
    expect([there.exit, jsonLines(there.stdout)[0]]).toMatchObject([0, { to: "fallback", mode: "isolated" }]);
    await isolated;

    const distributed = turned("distributed");
    const back = await herald(["broker", "failback", "--json", "--url", URL]);
    expect([back.exit, jsonLines(back.stdout)[0]]).toMatchObject([0, { to: "primary", undrained: 0 }]);
    await distributed;
    await other.close();
  });

  it("has nothing to switch on a broker of one side", async () => {
    const { exit, stderr } = await herald(["broker", "failover", "--url", `file:${sides[0]}`]);
    expect([exit, stderr]).toEqual([78, expect.stringContaining("one side")]);
  });
});
