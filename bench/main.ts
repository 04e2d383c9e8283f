import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Case } from "./memory/cases.ts";
import { SUITES, type Suite } from "./suites.ts";
import { natsBinary } from "../test/support/servers/nats-binary.ts";
import { rabbitmqHome } from "../test/support/servers/rabbitmq-home.ts";
import { redisBinary } from "../test/support/servers/redis-binary.ts";

interface Row {
  readonly case: string;
  readonly value: number;
  readonly unit: string;
  readonly runs: readonly number[];
  readonly against?: string;
  /** This case's figure over that of `against`. */
  readonly ratio?: number;
}

const here = import.meta.dirname;
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    only: { type: "string" },
  },
});

function main(): void {
  const [name = "memory"] = positionals;
  const suite = Object.hasOwn(SUITES, name) ? SUITES[name] : undefined;
  if (suite === undefined)
    fail(`There is no benchmark '${name}'; there are: ${Object.keys(SUITES).join(", ")}.`);
  const runs = Number(flags.runs);
  if (!Number.isInteger(runs) || runs < 1)
    fail(`--runs must be a whole number of 1 or more, not '${flags.runs}'.`);
  if (suite.peers === true) installPeers();
  const cases = suite.cases.filter(
    (candidate) =>
      (flags.only === undefined || candidate.name.includes(flags.only)) && canRun(candidate, suite),
  );
  const results = new Map(cases.map((candidate) => [candidate.name, [] as number[]]));
  for (let run = 1; run <= runs; run++) {
    for (const candidate of cases) {
      process.stderr.write(`run ${run} of ${runs}: ${candidate.name}\n`);
      results.get(candidate.name)?.push(measure(name, candidate));
    }
  }
  const rows = cases.map((candidate) => rowOf(candidate, results));
  const report = { name, node: process.version, cpus: availableParallelism(), cases: rows };
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : table(rows));
}

/** Why a case cannot be run on this machine. */
function whyNot(candidate: Case, suite: Suite): string | undefined {
  if (suite.redis === true || candidate.name.startsWith("BullMQ")) return redisBinary().why;
  if (suite.nats === true) return natsBinary().why;
  return suite.rabbitmq === true ? rabbitmqHome().why : undefined;
}

function canRun(candidate: Case, suite: Suite): boolean {
  const why = whyNot(candidate, suite);
  if (why === undefined) return true;
  process.stderr.write(`NOT RUN: ${candidate.name}: ${why}\n`);
  return false;
}

/** Each measurement has a process of its own: no case inherits another's heap. */
function measure(suite: string, candidate: Case): number {
  const child = spawnSync(
    process.execPath,
    ["--expose-gc", path.join(here, "child.ts"), suite, candidate.name],
    {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      // Stripped once: what is measured is the memory and the processor of what runs, not of the type stripper.
      env: { NODE_COMPILE_CACHE: path.join(tmpdir(), "herald-compile-cache"), ...process.env },
    },
  );
  const value = Number(child.stdout.trim());
  if (child.status !== 0 || child.stdout.trim() === "" || Number.isNaN(value))
    fail(`The case '${candidate.name}' failed.`);
  return value;
}

function rowOf(candidate: Case, results: ReadonlyMap<string, readonly number[]>): Row {
  const runs = results.get(candidate.name) ?? [];
  const value = median(runs);
  const row: Row = { case: candidate.name, value, unit: candidate.unit, runs };
  const other = candidate.against === undefined ? undefined : results.get(candidate.against);
  if (candidate.against === undefined || other === undefined) return row;
  return { ...row, against: candidate.against, ratio: value / median(other) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const ratio = row.ratio === undefined ? "" : `${row.ratio.toFixed(2)} x ${row.against}`;
    const digits = row.value < 10 ? 3 : 0;
    const value = row.value.toLocaleString("en", {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    return `${row.case.padEnd(50)} ${value.padStart(12)} ${row.unit.padEnd(11)} ${ratio}`.trimEnd();
  });
  return `${lines.join("\n")}\n`;
}

function installPeers(): void {
  const peers = path.join(here, "peers");
  if (existsSync(path.join(peers, "node_modules", "moleculer"))) return;
  process.stderr.write("installing what the benchmark runs beside Herald\n");
  execFileSync("npm", ["install", "--omit=optional", "--ignore-scripts", "--no-save", "--loglevel=error"], {
    cwd: peers,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

main();
