import assert from "node:assert/strict";
import { describeVerdict } from "../../checker/verdict.ts";
import { ProcessRun, type RunOptions, type RunResult } from "../../process/run.ts";
import type { CaseContext } from "../context.ts";
import type { ServerControl } from "../harness.ts";

/** What a case says of its run; the rest follows from its harness. */
export type CaseRunOptions = Partial<Omit<RunOptions, "module" | "own" | "place">>;

/**
 * Runs publishers and consumers in processes of their own on the case's storage: `steps` hurts them, then everything that
 * was granted must end, and the checker must find nothing.
 */
export async function inProcesses(
  context: CaseContext,
  options: CaseRunOptions,
  steps: (run: ProcessRun) => Promise<void>,
): Promise<RunResult> {
  const { harness, place } = context;
  const run = await ProcessRun.start({
    guarantee: "exactly-once",
    publishers: 2,
    consumers: 2,
    dedupe: context.has("dedupe"),
    module: harness.child?.href ?? assert.fail("the harness has no child"),
    own: {
      createBroker: (name, more) => harness.create({ place: name, ...more }),
      createService: (more) => harness.createService(more),
    },
    place,
    ...options,
    check: {
      minAcked: 1,
      // Where there is no lease, others take over at any time what a process holds, dead or silent: also what it had just settled, or of
      // which it had stored a copy to come later.
      settlements: context.has("lease") ? "final" : "late",
      order: context.has("keyOrder") && options.ordering === "strict" ? "relaxed" : "none",
      ...options.check,
    },
  });
  try {
    await steps(run);
    await run.drain(context.time.patienceMs);
    const result = await run.finish();
    assert.deepEqual(result.failures, []);
    assert.ok(result.verdict.ok, describeVerdict(result.verdict));
    return result;
  } finally {
    await run.close();
  }
}

/** How long nothing may move before the dead letters are looked at. */
const LOOK_MS = 500;

/** Grants work as it runs out, until `isDone`. */
export async function underLoad(
  context: CaseContext,
  run: ProcessRun,
  options: { readonly portion?: number; readonly isDone: () => boolean; readonly what: string },
): Promise<void> {
  const { portion = 50, isDone, what } = options;
  let seen = -1;
  let movedAt = performance.now();
  let lookedAt = movedAt;
  while (!isDone()) {
    if (run.isDrained) run.grant(portion);
    const now = performance.now();
    const { acked, ended, starts } = run.progress;
    if (acked + ended + starts + run.kills !== seen) movedAt = lookedAt = now;
    if (now - lookedAt > LOOK_MS) {
      lookedAt = now;
      await run.look();
    }
    seen = acked + ended + starts + run.kills;
    assert.ok(now - movedAt < context.time.patienceMs, `nothing moves while waiting for ${what}`);
    await context.time.elapse(5);
  }
}

/** The server of the case. */
export function serverOf({ harness }: CaseContext): ServerControl {
  return harness.server ?? assert.fail("the harness has no server");
}
