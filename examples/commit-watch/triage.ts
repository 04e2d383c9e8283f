import type { Message, MessagingService } from "../../src/index.ts";
import {
  JOURNAL,
  SEVERITIES,
  type Finding,
  type Incident,
  type JournalEntry,
  type Severity,
  type Tally,
  type TriageQuestion,
  type Verdict,
} from "./channels.ts";
import { findingId } from "./fingerprint.ts";
import { readLog } from "./kept-log.ts";

/** Where secrets are usually fake and scripts are usually harmless. */
const HARMLESS = /(?:^|\/)(?:tests?|__tests__|fixtures?|testdata|docs?)\/|\.test\.[jt]sx?$|\.md$/i;

/**
 * The agent of `triage.yaml`. It keeps nothing in memory: what it does it writes into its journal, and what it is asked it
 * reads there. The ids of the entries follow from what they are about, so that nothing is written twice.
 */
export default function triage(agent: MessagingService) {
  const write = (id: string, entry: JournalEntry): Promise<string> =>
    agent.publish(JOURNAL, entry, { id, type: "event" });
  return {
    async count({ id, payload: { severity } }: Message<Finding>) {
      await write(`count:${id}`, { did: "count", severity });
    },

    async judge({ payload: question }: Message<TriageQuestion>): Promise<Verdict | Tally> {
      if (question.about === "finding") return verdictOn(question.finding);
      return tallyOf(await readLog(agent, JOURNAL));
    },

    async open_incident(finding: Finding) {
      const incident = `INC-${finding.fingerprint.slice(0, 8)}`;
      await write(`open:${findingId(finding)}`, { did: "open", incident, finding });
      return { incidentId: incident };
    },
  };
}

function verdictOn({ path, severity }: Finding): Verdict {
  if (HARMLESS.test(path)) return { verdict: "watch", reason: "It is in a test, a fixture or a document." };
  return { verdict: "incident", reason: `It is ${severity} and in what is shipped.` };
}

function tallyOf(journal: readonly JournalEntry[]): Tally {
  const findings: Record<Severity, number> = { low: 0, medium: 0, high: 0, critical: 0 };
  const sightings = new Map<string, Finding[]>();
  for (const entry of journal) {
    if (entry.did === "count") findings[entry.severity]++;
    else
      sightings
        .set(entry.incident, sightings.get(entry.incident) ?? [])
        .get(entry.incident)
        ?.push(entry.finding);
  }
  const incidents = [...sightings].map(([id, found]) => incidentOf(id, found));
  return { findings, incidents: incidents.toSorted(mostSevereFirst) };
}

/** The journal is in the order in which things were handled, and that is another one each time. */
function incidentOf(id: string, found: readonly Finding[]): Incident {
  const [first] = found.toSorted((a, b) => compare(placeOf(a), placeOf(b))) as [Finding];
  const { severity, rule, sha, time, path, line, evidence } = first;
  return { id, severity, rule, sha, time, path, line, evidence, sightings: found.length };
}

function mostSevereFirst(a: Incident, b: Incident): number {
  return SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity) || compare(placeOf(a), placeOf(b));
}

/** Places in the order of the history. */
function placeOf({ time, sha, path, line }: Finding | Incident): string {
  return `${time} ${sha} ${path}:${line}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
