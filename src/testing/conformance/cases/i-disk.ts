import assert from "node:assert/strict";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { inProcesses } from "./processes.ts";

async function diskFull(context: CaseContext): Promise<void> {
  const disk = context.harness.disk ?? assert.fail("the harness has no disk");
  const refusals = new Set<string>();
  const portion = context.count(1000, 200);
  await inProcesses(
    context,
    {
      maxAttempts: 1000,
      emit: (event) => void (event.type === "pub.fail" && refusals.add(event.code)),
      check: { minAcked: 2 * portion, minFaults: 1 },
    },
    async (run) => {
      run.grant(portion);
      await context.until(() => run.progress.acked >= portion / 2, "publishes before the disk is full");
      run.struck("disk full");
      await disk.fill();
      run.grant(portion);
      // Told by the history, which comes a moment later than what it tells of.
      await context.until(() => refusals.has("STORAGE_FULL"), "a publish to be refused");
      await disk.free();
    },
  );
  assert.deepEqual([...refusals], ["STORAGE_FULL"], "nothing else is said of a full disk");
}

/** Cases of a disk that is full. */
export const diskCases: readonly ConformanceCase[] = [
  {
    id: "i06-enospc",
    group: "I",
    title: "a full disk is named, heals without a restart and loses nothing acknowledged",
    needs: ["disk", "persist", "xproc"],
    acked: 0,
    run: diskFull,
  },
];
