import type { Message } from "../../src/index.ts";
import {
  SEVERITIES,
  type Finding,
  type Incident,
  type Severity,
  type Tally,
  type TriageQuestion,
  type Verdict,
} from "./channels.ts";

/** Where secrets are usually fake and scripts are usually harmless. */
const HARMLESS = /(?:^|\/)(?:tests?|__tests__|fixtures?|testdata|docs?)\/|\.test\.[jt]sx?$|\.md$/i;

/** The agent of `triage.yaml`. What it knows it keeps in memory, as long as it runs. */
export default function triage() {
  const findings: Record<Severity, number> = { low: 0, medium: 0, high: 0, critical: 0 };
  const incidents = new Incidents();
  return {
    count({ payload: { severity } }: Message<Finding>) {
      findings[severity]++;
    },

    judge({ payload: question }: Message<TriageQuestion>): Verdict | Tally {
      if (question.about === "finding") return verdictOn(question.finding);
      return { findings: { ...findings }, incidents: incidents.list() };
    },

    open_incident(finding: Finding) {
      return incidents.open(finding);
    },
  };
}

function verdictOn({ path, severity }: Finding): Verdict {
  if (HARMLESS.test(path)) return { verdict: "watch", reason: "It is in a test, a fixture or a document." };
  return { verdict: "incident", reason: `It is ${severity} and in what is shipped.` };
}

/** Open incidents, one for each fingerprint. */
class Incidents {
  readonly #byFingerprint = new Map<
    string,
    { readonly first: Finding; readonly id: string; readonly places: Set<string> }
  >();

  /** Opening twice for the same place changes nothing: a command may come again. */
  open(finding: Finding): { readonly incidentId: string; readonly opened: boolean } {
    const { fingerprint, sha, path, line } = finding;
    const known = this.#byFingerprint.get(fingerprint);
    const incident = known ?? {
      first: finding,
      id: `INC-${this.#byFingerprint.size + 1}`,
      places: new Set<string>(),
    };
    incident.places.add(`${sha}:${path}:${line}`);
    this.#byFingerprint.set(fingerprint, incident);
    return { incidentId: incident.id, opened: known === undefined };
  }

  list(): Incident[] {
    const incidents = [...this.#byFingerprint.values()].map(({ first, id, places }) => {
      const { severity, rule, sha, path, line, evidence } = first;
      return { id, severity, rule, sha, path, line, evidence, sightings: places.size };
    });
    return incidents.toSorted((a, b) => SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity));
  }
}
