import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { runQueue } from "./run.ts";

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    jobs: { type: "string", default: "1000" },
    workers: { type: "string", default: "10" },
    rate: { type: "string", default: "0" },
  },
});
const folder = mkdtempSync(path.join(tmpdir(), "herald-queue-example-"));
try {
  const directory = path.join(folder, "store");
  const [jobs, workers, perSecond] = [Number(flags.jobs), Number(flags.workers), Number(flags.rate)];
  const outcome = await runQueue({ directory, jobs, workers, perSecond });
  if (flags.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  else {
    const { killed, printed, twice, lost, byWorker, urgentAt, othersAt, elapsedMs } = outcome;
    process.stdout.write(`${jobs} jobs, ${workers} processes; ${killed} was killed while it worked.\n`);
    for (const [name, count] of Object.entries(byWorker)) process.stdout.write(`  ${name}: ${count}\n`);
    process.stdout.write(
      `urgent ones after ${urgentAt} jobs on average, the others after ${othersAt}; ${elapsedMs} ms\n` +
        `printed: ${printed}, printed twice: ${twice}, lost: ${lost}\n`,
    );
  }
  process.exitCode = outcome.twice === 0 && outcome.lost === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
