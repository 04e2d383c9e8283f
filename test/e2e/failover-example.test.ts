import path from "node:path";
import { expect, it } from "vitest";
import type { Outcome } from "../../examples/failover/run.ts";
import { run } from "../support/run.ts";
import { whenRedis } from "../support/servers/when.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

whenRedis("the failover example", () => {
  it("goes on while Redis is dead, and loses nothing when it is back", async () => {
    const main = path.join(ROOT, "examples/failover/main.ts");
    const ran = await run(process.execPath, [main, "--json", "--messages", "300"], { cwd: ROOT });

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { acknowledged, refused, handled, lost, undrained, whileDead, modes } = JSON.parse(
      ran.stdout,
    ) as Outcome;
    expect({ refused, lost, undrained, acknowledged, handled }).toEqual({
      refused: 0,
      lost: 0,
      undrained: 0,
      acknowledged: 300,
      handled: 300,
    });
    // A third of the traffic met a dead server.
    expect(whileDead).toBeGreaterThan(50);
    expect(modes[0]).not.toBe("isolated");
    expect(modes).toContain("isolated");
    expect(modes.at(-1)).not.toBe("isolated");
  });
});
