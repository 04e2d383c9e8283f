import {
  COMMITS,
  SEVERITIES,
  TRIAGE,
  type Gaps,
  type HistoryEnd,
  type Severity,
  type Tally,
} from "./channels.ts";
import { short, type Reading, type Treated } from "./operator.ts";
import { totalOf, type ChannelAccount, type Totals } from "./terminal/account.ts";
import { paint, tableOf } from "./terminal/table.ts";

/** A whole run in one document; `--json` prints it. */
export interface Summary {
  readonly origin: Reading["origin"];
  readonly repository: string;
  /** Why the sample was read instead of the repository; null when it was not. */
  readonly reason: string | null;
  /** `interrupted`: by Ctrl-C, before the history was consumed or while it was watched. */
  readonly state: HistoryEnd["state"] | "interrupted";
  /** Why the reading failed; null when it did not. */
  readonly failure: string | null;
  readonly durationMs: number;
  /** Commits that were scanned to the end. */
  readonly commitsScanned: number;
  readonly channels: readonly ChannelAccount[];
  /** published = handled + filtered + deadLettered + lost + waiting. */
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
  readonly deadLetters: readonly Treated[];
  /** Low ones are counted by triage's filter, which keeps them away. */
  readonly findings: Readonly<Record<Severity, number>>;
  readonly incidents: Tally["incidents"];
  readonly notScanned: Gaps;
}

/** What a summary is made of. */
export interface Facts {
  readonly reading: Reading;
  readonly state: Summary["state"];
  readonly failure: string | undefined;
  readonly durationMs: number;
  readonly channels: readonly ChannelAccount[];
  readonly treated: readonly Treated[];
  readonly tally: Tally;
  readonly gaps: Gaps;
}

/** Puts the facts of a run together. */
export function summaryOf(facts: Facts): Summary {
  const { reading, channels, treated, tally } = facts;
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
    durationMs: Math.round(facts.durationMs),
    commitsScanned: handledOn(COMMITS.channel),
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
    findings: { ...tally.findings, low: channels.reduce((sum, { filtered }) => sum + filtered, 0) },
    incidents: tally.incidents,
    notScanned: facts.gaps,
  };
}

const COLOURS = { low: "dim", medium: "yellow", high: "red", critical: "magenta" } as const;
const MAX_INCIDENTS = 15;

/** The summary for people. */
export function summaryText(summary: Summary): string {
  const { totals, channels } = summary;
  const { p50LatencyMs = 0, p95LatencyMs = 0 } =
    channels.find(({ channel }) => channel === COMMITS.channel) ?? {};
  const findings = SEVERITIES.toReversed().map((severity) => `${summary.findings[severity]} ${severity}`);
  return [
    "",
    ...tableOf(channels, process.stdout.columns ?? 120),
    "",
    `Commits       ${summary.commitsScanned} scanned in ${(summary.durationMs / 1000).toFixed(1)} s (${summary.state})`,
    `Latency       from published to scanned ${p50LatencyMs.toFixed(1)} ms in the middle, ${p95LatencyMs.toFixed(1)} ms for the slowest of 20`,
    `Findings      ${findings.join(", ")}`,
    `Incidents     ${summary.incidents.length}`,
    ...incidentLines(summary.incidents),
    `Not scanned   ${gapsText(summary.notScanned)}`,
    `Answered      queries: ${totals.queriesAnswered}, commands: ${totals.commandsAnswered}`,
    `Tried again   ${totals.retried}`,
    `Dead letters  ${totals.deadLettered}, of which published again by their source: ${totals.republished}, sent back: ${totals.redriven}, left: ${totals.deadLettersLeft}`,
    `Balance       ${balance(totals)}`,
    "",
  ].join("\n");
}

function incidentLines(incidents: Summary["incidents"]): string[] {
  const lines = incidents
    .slice(0, MAX_INCIDENTS)
    .map(({ id, severity, rule, sha, path, line, evidence, sightings }) => {
      const again = sightings === 1 ? "" : `, seen ${sightings} times`;
      return `  ${id.padEnd(7)} ${paint(COLOURS[severity], severity.padEnd(8))} ${rule} ${short(sha)} ${path}:${line}  ${evidence}${again}`;
    });
  const more = incidents.length - lines.length;
  return more > 0 ? [...lines, `  and ${more} more`] : lines;
}

function gapsText({ filesCut, filesOmitted, fixturesSkipped }: Gaps): string {
  return `ends of long diffs: ${filesCut}, files of very large commits: ${filesOmitted}, fixtures with fake secrets: ${fixturesSkipped}`;
}

function balance({ published, handled, filtered, deadLettered, lost, waiting }: Summary["totals"]): string {
  const isEven = published === handled + filtered + deadLettered + lost + waiting;
  const sum = `${published} published = ${handled} handled + ${filtered} filtered + ${deadLettered} dead-lettered + ${lost} lost + ${waiting} waiting`;
  return isEven ? sum : `${sum} DOES NOT HOLD`;
}
