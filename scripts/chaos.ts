import { createWriteStream } from "node:fs";
import { parseArgs } from "node:util";
import { conduct, type ChaosReport } from "../test/support/chaos/conduct.ts";
import { STAGES } from "../test/support/chaos/stage.ts";

const USAGE = `Usage: npm run chaos -- <broker> [--cycles N] [--server-kills N] [--flaps N] [--messages N] [--seed S] [--json] [--history <file>]

Publishers and consumers in processes of their own, hurt by faults in an order that the seed gives; then everything heals,
what is open is drained, and the checker judges: exactly one effect for every message that was acknowledged.
Brokers: ${Object.keys(STAGES).join(", ")}
  --cycles N        clients to kill (default 25)
  --server-kills N  servers to kill (default 0)
  --flaps N         times the link goes down and up (default 0)
  --messages N      messages to publish (default 200 for each cycle)
  --seed S          repeats the order and the choices of a run (default: the time)
  --history <file>  writes every event there, a line of JSON each
  --json            one document on stdout
Exit code 1 for any anomaly and for a run that proves nothing, 2 for a wrong call.
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
        cycles: { type: "string", default: "25" },
        "server-kills": { type: "string", default: "0" },
        flaps: { type: "string", default: "0" },
        messages: { type: "string" },
        seed: { type: "string", default: String(Date.now() % 2 ** 31) },
        history: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

function whole(name: string, value: string): number {
  const number = Number(value);
  return Number.isSafeInteger(number) && number >= 0
    ? number
    : fail(`--${name} must be a whole number of 0 or more, not '${value}'.`);
}

function inWords(report: ChaosReport): string {
  const { anomalies, faults, failures, notApplicable, ...figures } = report;
  return [
    ...Object.entries(figures).map(([name, value]) => `${name.padEnd(14)} ${value}`),
    ...Object.entries(faults).map(([name, count]) => `  ${name}: ${count}`),
    ...notApplicable.map((line) => `not applicable: ${line}`),
    ...anomalies.map(
      ({ anomaly, count, examples }) => `ANOMALY ${anomaly} (${count}): ${examples.join("; ")}`,
    ),
    ...failures.map((line) => `FAILURE ${line}`),
  ].join("\n");
}

const { values, positionals } = parse();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [name = "", ...rest] = positionals;
const makeStage = Object.hasOwn(STAGES, name) ? STAGES[name] : undefined;
if (makeStage === undefined || rest.length > 0)
  fail(name === "" ? "Name a broker." : `There is no broker '${positionals.join(" ")}'.`);
const cycles = whole("cycles", values.cycles);

const history = values.history === undefined ? undefined : createWriteStream(values.history);
const messages = values.messages === undefined ? cycles * 200 : whole("messages", values.messages);
const stage = await makeStage(messages);
const report = await conduct(stage, {
  seed: whole("seed", values.seed),
  cycles,
  serverKills: whole("server-kills", values["server-kills"]),
  flaps: whole("flaps", values.flaps),
  messages,
  ...(history === undefined ? {} : { emit: (event) => void history.write(`${JSON.stringify(event)}\n`) }),
  onProgress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${values.json ? JSON.stringify(report) : inWords(report)}\n`);
if (history !== undefined) await new Promise((resolve) => history.end(resolve));
// What does not end by itself ends with this process.
const patience = new Promise((resolve) => setTimeout(resolve, 5000));
await Promise.race([stage[Symbol.asyncDispose](), patience]);
process.exit(report.ok ? 0 : 1);
