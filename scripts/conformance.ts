import { parseArgs } from "node:util";
import { formatReport } from "../src/testing/conformance/report.ts";
import { runConformance } from "../src/testing/conformance/run.ts";
import type { Harness } from "../src/testing/conformance/harness.ts";
import { memoryHarness } from "../test/support/harness.ts";

/** Every broker that can be held to the suite, by the name it is asked for. */
const HARNESSES: Readonly<Record<string, Harness>> = { memory: memoryHarness };

const USAGE = `Usage: npm run conformance -- <broker> [--json] [--only <id>] [--seed <number>]

Holds a broker to the conformance suite. Brokers: ${Object.keys(HARNESSES).join(", ")}
  --json           one document on stdout: { broker, passed, failed, notApplicable, cases, abilities, traits, seed }
  --only <id>      only cases whose id starts so
  --seed <number>  repeats the random choices of a run
Exit code 1 when a case fails, 2 for a wrong call.
`;

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        only: { type: "string", default: "" },
        seed: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { values, positionals } = parse();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [name = "", ...rest] = positionals;
const harness = Object.hasOwn(HARNESSES, name) ? HARNESSES[name] : undefined;
if (harness === undefined || rest.length > 0)
  fail(name === "" ? "Name a broker." : `There is no broker '${positionals.join(" ")}'.`);
const seed = values.seed === undefined ? undefined : Number(values.seed);
if (seed !== undefined && !Number.isSafeInteger(seed))
  fail(`--seed must be a whole number, not '${values.seed}'.`);

const report = await runConformance(seed === undefined ? harness : { ...harness, seed }, {
  only: (id) => id.startsWith(values.only),
  onResult({ case: id, status, durationMs, error }) {
    if (values.json)
      process.stderr.write(`${status} ${id} (${durationMs} ms)${error === undefined ? "" : `: ${error}`}\n`);
  },
});
process.stdout.write(`${values.json ? JSON.stringify(report) : formatReport(report)}\n`);
// A selection that holds no case proves nothing.
process.exit(report.failed > 0 || report.cases.length === 0 ? 1 : 0);
