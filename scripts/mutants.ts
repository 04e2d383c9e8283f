import { parseArgs } from "node:util";
import { runConformance } from "../src/testing/conformance/run.ts";
import type { Harness } from "../src/testing/conformance/harness.ts";
import type { CaseResult } from "../src/testing/conformance/report.ts";
import { memoryHarness } from "../test/support/harness.ts";
import { MUTANTS } from "../test/support/mutants/index.ts";
import type { Mutant } from "../test/support/mutants/mutant.ts";

/** What became of one mutant. */
interface Outcome {
  readonly mutant: string;
  readonly expected: string;
  /** The case that failed; undefined: the mutant survived. */
  readonly case: string | undefined;
  readonly anomalies: readonly string[];
  readonly durationMs: number;
}

const USAGE = `Usage: npm run mutants -- [--json] [--only <text>]

Runs the conformance suite against brokers with one seeded fault each. The suite must fail on every one of them.
  --json         one document on stdout: { seeded, caught, survivors, mutants }
  --only <text>  only mutants whose name holds the text
`;

/** Nothing that a mutant withholds will come: waiting for it long is waiting in vain. */
const harness: Harness = { ...memoryHarness, patienceMs: 1000 };

/** The broker without a fault must pass: else a case that fails proves nothing about a mutant. */
async function control(): Promise<void> {
  const { cases } = await runConformance(harness);
  const failed = cases.filter(({ status }) => status === "failed");
  if (failed.length === 0) return;
  const list = failed.map((result) => `  ${result.case}: ${result.error}`).join("\n");
  process.stderr.write(`The suite fails on the broker without a fault, so mutants prove nothing:\n${list}\n`);
  process.exit(1);
}

/** Runs the suite against one mutant until the first case fails. */
async function run({ name, expected, near, wrap }: Mutant): Promise<Outcome> {
  const startedAt = performance.now();
  let failed: CaseResult | undefined;
  await runConformance(
    { ...harness, name, create: async (options) => wrap(await harness.create(options)) },
    {
      bail: true,
      first: (id) => near.some((start) => id.startsWith(start)),
      onResult: (result) => void (failed = result.status === "failed" ? result : failed),
    },
  );
  const durationMs = Math.round(performance.now() - startedAt);
  return { mutant: name, expected, case: failed?.case, anomalies: failed?.anomalies ?? [], durationMs };
}

function row({ mutant, case: id, anomalies, durationMs }: Outcome): string {
  const named = anomalies.length > 0 ? anomalies.join(", ") : "assertion";
  const outcome = id === undefined ? "SURVIVED" : `${id}: ${named}`;
  return `${mutant.padEnd(64)} ${outcome} (${durationMs} ms)`;
}

const { values } = parseArgs({
  options: { json: { type: "boolean" }, only: { type: "string" }, help: { type: "boolean" } },
});
if (values.help === true) {
  process.stdout.write(USAGE);
  process.exit(0);
}
await control();
const outcomes: Outcome[] = [];
for (const mutant of MUTANTS.filter(({ name }) => name.includes(values.only ?? ""))) {
  const outcome = await run(mutant);
  outcomes.push(outcome);
  (values.json === true ? process.stderr : process.stdout).write(`${row(outcome)}\n`);
}
const survivors = outcomes.filter(({ case: id }) => id === undefined).map(({ mutant }) => mutant);
const summary = {
  seeded: outcomes.length,
  caught: outcomes.length - survivors.length,
  survivors,
  mutants: outcomes,
};
process.stdout.write(
  values.json === true
    ? `${JSON.stringify(summary)}\n`
    : `\n${summary.caught} of ${summary.seeded} seeded faults were caught.\n`,
);
// An empty selection proves nothing.
process.exit(survivors.length > 0 || outcomes.length === 0 ? 1 : 0);
