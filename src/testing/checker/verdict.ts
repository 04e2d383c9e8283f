/** Everything that can be wrong with a history. */
export const ANOMALIES = [
  "lost-prefix",
  "lost-middle",
  "lost-postfix",
  "phantom",
  "failed-but-delivered",
  "duplicate-effect",
  "missing-effect",
  "reorder",
  "corrupt",
  "resurrect",
  "early-dlq",
  "extra-attempt",
  "lost-attempt",
  "early",
  "expired-run",
  "counter-drift",
  "stuck",
  "hung-publish",
  "silent-loss",
  "split-brain",
] as const;

/** One name of {@link ANOMALIES}. */
export type Anomaly = (typeof ANOMALIES)[number];

/** One kind of anomaly in a history: how often, and the first of them in words. */
export interface Finding {
  readonly anomaly: Anomaly;
  readonly count: number;
  readonly examples: readonly string[];
}

/** What a history holds. Publishes are counted by id; the others by id and group. */
export interface Tally {
  readonly attempted: number;
  readonly acked: number;
  readonly refused: number;
  readonly indeterminate: number;
  readonly started: number;
  readonly handled: number;
  readonly deadLettered: number;
  readonly expired: number;
  readonly pending: number;
  readonly lost: number;
  readonly faults: number;
}

/** What the checker says of a history. */
export interface Verdict {
  /** No anomaly, and not vacuous. */
  readonly ok: boolean;
  /** Too few acknowledged messages or injected faults: the run proves nothing. */
  readonly vacuous: boolean;
  readonly findings: readonly Finding[];
  readonly tally: Tally;
}

const MAX_EXAMPLES = 5;

/** Collects anomalies as they are found. */
export class Findings {
  readonly #found = new Map<Anomaly, { count: number; examples: string[] }>();

  /** Notes one anomaly; `example` is only asked while examples are still kept. */
  add(anomaly: Anomaly, example: () => string): void {
    let finding = this.#found.get(anomaly);
    if (finding === undefined) this.#found.set(anomaly, (finding = { count: 0, examples: [] }));
    finding.count++;
    if (finding.examples.length < MAX_EXAMPLES) finding.examples.push(example());
  }

  count(anomaly: Anomaly): number {
    return this.#found.get(anomaly)?.count ?? 0;
  }

  /** In the order of {@link ANOMALIES}. */
  list(): Finding[] {
    return ANOMALIES.flatMap((anomaly) => {
      const finding = this.#found.get(anomaly);
      return finding === undefined ? [] : [{ anomaly, ...finding }];
    });
  }
}

/** A verdict in one line: `ok, 1000 acked`, or the anomalies with their first examples. */
export function describeVerdict(verdict: Verdict): string {
  const parts = verdict.findings.map(
    ({ anomaly, count, examples }) => `${anomaly} (${count}: ${examples.join("; ")})`,
  );
  if (verdict.vacuous) {
    parts.push(
      `vacuous (${verdict.tally.acked} acknowledged messages and ${verdict.tally.faults} faults prove nothing)`,
    );
  }
  return parts.length === 0 ? `ok, ${verdict.tally.acked} acked` : parts.join(", ");
}
