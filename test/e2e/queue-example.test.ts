import path from "node:path";
import { describe, expect, it } from "vitest";
import type { Outcome } from "../../examples/queue/run.ts";
import { run } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const MAIN = path.join(ROOT, "examples/queue/main.ts");

describe("the queue example", () => {
  it("does 1,000 jobs in 10 processes once each, one of them killed while it works", async () => {
    const ran = await run(process.execPath, [MAIN, "--json"], { cwd: ROOT });

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { byWorker, killed, urgentAt, othersAt, elapsedMs, ...outcome } = JSON.parse(ran.stdout) as Outcome;
    expect(elapsedMs).toBeGreaterThan(0);
    expect(outcome).toEqual({ jobs: 1000, workers: 10, printed: 1000, twice: 0, lost: 0 });
    expect(Object.values(byWorker).reduce((sum, count) => sum + count, 0)).toBe(1000);
    // It did some of them before it was killed; the others did the rest.
    expect(byWorker[killed]).toBeGreaterThan(0);
    expect(Object.keys(byWorker).length).toBeGreaterThan(1);
    // Enqueued behind nine hundred others, and done before most of them.
    expect(urgentAt).toBeLessThan(othersAt / 2);
  });

  it("starts no more jobs in a second than its rate allows, over all its processes", async () => {
    const flags = ["--json", "--jobs", "60", "--workers", "2", "--rate", "20"];
    const ran = await run(process.execPath, [MAIN, ...flags], { cwd: ROOT });

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { printed, twice, lost, elapsedMs } = JSON.parse(ran.stdout) as Outcome;
    expect({ printed, twice, lost }).toEqual({ printed: 60, twice: 0, lost: 0 });
    // Three spans at least: the one in the middle is a whole second.
    expect(elapsedMs).toBeGreaterThan(900);
  });
});
