import { ABILITIES, type Capabilities } from "../../core/broker.ts";
import type { Need, Trait } from "./harness.ts";

/** What became of one case. */
export interface CaseResult {
  readonly case: string;
  readonly title: string;
  readonly status: "passed" | "failed" | "notApplicable";
  readonly durationMs: number;
  /** Why it failed. */
  readonly error?: string;
  /** Anomalies of its history. */
  readonly anomalies?: readonly string[];
  /** What the broker lacks for it. */
  readonly ability?: Need;
}

/** What a run of the suite found. */
export interface ConformanceReport {
  readonly broker: string;
  readonly passed: number;
  readonly failed: number;
  readonly notApplicable: readonly { readonly case: string; readonly ability: Need }[];
  readonly cases: readonly CaseResult[];
  readonly abilities: Capabilities;
  readonly traits: readonly Trait[];
  readonly seed: number;
}

/** The ability matrix of several brokers as a Markdown table: one row an ability, one column a broker, as `open()` said it. */
export function abilityMatrix(reports: readonly Pick<ConformanceReport, "broker" | "abilities">[]): string {
  const rows: string[][] = [
    ["ability", ...reports.map(({ broker }) => broker)],
    ["---", ...reports.map(() => "---")],
    ["durability", ...reports.map(({ abilities }) => abilities.durability)],
    ["ordering", ...reports.map(({ abilities }) => abilities.ordering)],
    ...ABILITIES.map((ability) => [
      ability,
      ...reports.map(({ abilities }) => (abilities[ability] ? "yes" : "no")),
    ]),
    ["maxBatch", ...reports.map(({ abilities }) => String(abilities.maxBatch))],
    ["maxBodyBytes", ...reports.map(({ abilities }) => String(abilities.maxBodyBytes))],
  ];
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** A report for people: a line a case, what failed in full, the matrix, the count. */
export function formatReport(report: ConformanceReport): string {
  const lines = report.cases.map(({ case: id, status, title, durationMs, ability, error }) => {
    if (status === "notApplicable") return `  -  ${id}: needs ${ability}`;
    const line = `${status === "passed" ? "  ok" : "FAIL"} ${id}: ${title} (${durationMs} ms)`;
    return error === undefined ? line : `${line}\n       ${error}`;
  });
  const { broker, passed, failed, notApplicable, seed } = report;
  const count = `${broker}: ${passed} passed, ${failed} failed, ${notApplicable.length} not applicable (seed ${seed})`;
  return [...lines, "", abilityMatrix([report]), "", count].join("\n");
}
