import {
  COMMITS,
  SEVERITIES,
  TRIAGE,
  type Gaps,
  type HistoryEnd,
  type Scan,
  type Severity,
  type Tally,
} from "./channels.ts";
import { short, type Reading, type Treated } from "./operator.ts";
import { totalOf, type ChannelAccount, type Totals } from "./terminal/account.ts";
import { paint, tableOf } from "./terminal/table.ts";

/**
 * A whole run in one document; `--json` prints it. What says nothing else is counted from what the broker keeps: it is the
 * same whether the run was one start, or was killed and started again. The rest is of this start only, and says so.
 */
export interface Summary {
  readonly origin: Reading["origin"];
  readonly repository: string;
  /** Why the sample was read instead of the repository; null when it was not. */
  readonly reason: string | null;
  /** `interrupted`: by Ctrl-C, before the history was consumed or while it was watched. */
  readonly state: HistoryEnd["state"] | "interrupted";
  /** Why the reading failed; null when it did not. */
  readonly failure: string | null;
  readonly run: {
    readonly folder: string;
    /** How often it was started, this time included. */
    readonly starts: number;
    /** True when this start went on with a run that had not ended. */
    readonly resumed: boolean;
  };
  /** Of this start. */
  readonly durationMs: number;
  /** Commits that were scanned to the end. */
  readonly commitsScanned: number;
  /** Of this start. */
  readonly channels: readonly ChannelAccount[];
  /** Of this start, but for `deadLettersLeft`. published + carried = handled + filtered + deadLettered + lost + repeated + waiting. */
  readonly totals: Readonly<Totals> & {
    /** Dead letters that were sent back as they were. */
    readonly redriven: number;
    /** Dead letters that their source published again in good order. */
    readonly republished: number;
    /** Dead letters that are left. */
    readonly deadLettersLeft: number;
    /** Answers given to questions and to commands. */
    readonly queriesAnswered: number;
    readonly commandsAnswered: number;
  };
  /** Those that this start did something about, and those that are left. */
  readonly deadLetters: readonly Treated[];
  /** As triage counted them; the low ones, which its filter keeps away, as the scanner did. */
  readonly findings: Readonly<Record<Severity, number>>;
  readonly incidents: Tally["incidents"];
  readonly notScanned: Gaps;
}

/** What a summary is made of. */
export interface Facts {
  readonly reading: Reading;
  readonly run: Summary["run"];
  readonly state: Summary["state"];
  readonly failure: string | undefined;
  readonly durationMs: number;
  readonly channels: readonly ChannelAccount[];
  readonly treated: readonly Treated[];
  readonly scans: readonly Scan[];
  readonly tally: Tally;
  readonly gaps: Gaps;
}

/** Puts the facts of a run together. */
export function summaryOf(facts: Facts): Summary {
  const { reading, run, channels, treated, scans, tally } = facts;
  const handledOn = (prefix: string): number =>
    channels.reduce((sum, { channel, handled }) => (channel.startsWith(prefix) ? sum + handled : sum), 0);
  const treatedBy = (treatment: Treated["treatment"]): number =>
    treated.filter((letter) => letter.treatment === treatment).length;
  return {
    origin: reading.origin,
    repository: reading.repository,
    reason: reading.reason ?? null,
    state: facts.state,
    failure: facts.failure ?? null,
    run: { folder: run.folder, starts: run.starts, resumed: run.resumed },
    durationMs: Math.round(facts.durationMs),
    commitsScanned: scans.length,
    channels,
    totals: {
      ...totalOf(channels),
      redriven: treatedBy("redriven"),
      republished: treatedBy("republished"),
      deadLettersLeft: treatedBy("left"),
      queriesAnswered: handledOn(TRIAGE.channel),
      commandsAnswered: handledOn("agent."),
    },
    deadLetters: treated,
    findings: { ...tally.findings, low: scans.reduce((sum, { findings }) => sum + findings.low, 0) },
    incidents: tally.incidents,
    notScanned: facts.gaps,
  };
}

const COLOURS = { low: "dim", medium: "yellow", high: "red", critical: "magenta" } as const;
const MAX_INCIDENTS = 15;

/** The summary for people: first the run, which may have taken several starts, then this start. */
export function summaryText(summary: Summary): string {
  const { totals, channels, run } = summary;
  const { p50LatencyMs = 0, p95LatencyMs = 0 } =
    channels.find(({ channel }) => channel === COMMITS.channel) ?? {};
  const findings = SEVERITIES.toReversed().map((severity) => `${summary.findings[severity]} ${severity}`);
  const starts = run.starts === 1 ? "" : `, in ${run.starts} starts`;
  const thisStart = run.starts === 1 ? "" : "; the table and what follows are of this start";
  return [
    "",
    ...tableOf(channels, process.stdout.columns ?? 120),
    "",
    `Commits       ${summary.commitsScanned} scanned${starts} (${summary.state})`,
    `Findings      ${findings.join(", ")}`,
    `Incidents     ${summary.incidents.length}`,
    ...incidentLines(summary.incidents),
    `Not scanned   ${gapsText(summary.notScanned)}`,
    `Left over     dead letters: ${totals.deadLettersLeft}, messages waiting: ${totals.waiting}`,
    "",
    `Took          ${(summary.durationMs / 1000).toFixed(1)} s${thisStart}`,
    `Latency       from published to scanned ${p50LatencyMs.toFixed(1)} ms, p95 ${p95LatencyMs.toFixed(1)} ms`,
    `Answered      queries: ${totals.queriesAnswered}, commands: ${totals.commandsAnswered}`,
    `Tried again   ${totals.retried}`,
    `Dead letters  ${totals.deadLettered}; published again by their source: ${totals.republished}, sent back: ${totals.redriven}`,
    `Balance       ${balance(totals)}`,
    "",
  ].join("\n");
}

function incidentLines(incidents: Summary["incidents"]): string[] {
  const lines = incidents
    .slice(0, MAX_INCIDENTS)
    .map(({ id, severity, rule, sha, path, line, evidence, sightings }) => {
      const again = sightings === 1 ? "" : `, seen ${sightings} times`;
      return `  ${id} ${paint(COLOURS[severity], severity.padEnd(8))} ${rule} ${short(sha)} ${path}:${line}  ${evidence}${again}`;
    });
  const more = incidents.length - lines.length;
  return more > 0 ? [...lines, `  and ${more} more`] : lines;
}

function gapsText({ filesCut, filesOmitted, fixturesSkipped }: Gaps): string {
  return `ends of long diffs: ${filesCut}, files left out: ${filesOmitted}, fixtures: ${fixturesSkipped}`;
}

/** What there was none of is left out, so that the line fits a terminal. */
function balance(totals: Summary["totals"]): string {
  const { published, carried, handled, filtered, deadLettered, lost, repeated, waiting } = totals;
  const came = termsOf({ published, "carried over": carried });
  const went = termsOf({ handled, filtered, "dead-lettered": deadLettered, lost, repeated, waiting });
  const isEven = published + carried === handled + filtered + deadLettered + lost + repeated + waiting;
  return `${came} = ${went}${isEven ? "" : " DOES NOT HOLD"}`;
}

function termsOf(counts: Readonly<Record<string, number>>): string {
  const terms = Object.entries(counts).filter(([, count]) => count !== 0);
  return terms.map(([name, count]) => `${count} ${name}`).join(" + ") || "0";
}
