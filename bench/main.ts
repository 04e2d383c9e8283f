import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { CASES, type Case } from "./memory/cases.ts";
import { PEERS } from "./memory/peers.ts";
import { hasRedis } from "./redis-server.ts";

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
const all: readonly Case[] = [...CASES, ...PEERS];

function main(): void {
  const [name = "memory"] = positionals;
  if (name !== "memory") fail(`There is no benchmark '${name}'; there is: memory.`);
  const runs = Number(flags.runs);
  if (!Number.isInteger(runs) || runs < 1)
    fail(`--runs must be a whole number of 1 or more, not '${flags.runs}'.`);
  installPeers();
  const cases = all.filter(
    (candidate) => (flags.only === undefined || candidate.name.includes(flags.only)) && canRun(candidate),
  );
  const results = new Map(cases.map((candidate) => [candidate.name, [] as number[]]));
  for (let run = 1; run <= runs; run++) {
    for (const candidate of cases) {
      process.stderr.write(`run ${run} of ${runs}: ${candidate.name}\n`);
      results.get(candidate.name)?.push(measure(candidate));
    }
  }
  const rows = cases.map((candidate) => rowOf(candidate, results));
  const report = { name, node: process.version, cpus: availableParallelism(), cases: rows };
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : table(rows));
}

function canRun(candidate: Case): boolean {
  if (!candidate.name.startsWith("BullMQ") || hasRedis()) return true;
  process.stderr.write(`NOT RUN: ${candidate.name}: there is no redis-server on this machine\n`);
  return false;
}

/** Each measurement has a process of its own: no case inherits another's heap. */
function measure(candidate: Case): number {
  const child = spawnSync(process.execPath, ["--expose-gc", path.join(here, "child.ts"), candidate.name], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
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
  if (existsSync(path.join(peers, "node_modules", "bullmq"))) return;
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
