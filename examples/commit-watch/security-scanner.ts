import type { Message, MessagingService } from "../../src/index.ts";
import {
  SCANNED,
  SEVERITIES,
  TRIAGE,
  VULNERABILITIES,
  type Commit,
  type Finding,
  type Gaps,
  type Scan,
  type Severity,
  type Verdict,
} from "./channels.ts";
import { findingId, fingerprintOf } from "./fingerprint.ts";
import { readLog } from "./kept-log.ts";
import { dependencies } from "./rules/dependencies.ts";
import { failsOnce, failsUntilRepaired } from "./rules/drills.ts";
import { lockFiles } from "./rules/lock-files.ts";
import type { Rule } from "./rules/rule.ts";
import { isFixture, secrets } from "./rules/secrets.ts";

/** The more severe, the sooner it is handled. */
const PRIORITIES = { low: "low", medium: "normal", high: "high", critical: "critical" } as const;

/** The agent of `security-scanner.yaml`. What it has done it reads from the channel `code.scanned`. */
export default function securityScanner(agent: MessagingService) {
  // The drills stand first, so that a commit fails before anything is published about it.
  const drill = failsUntilRepaired();
  const rules: readonly Rule[] = [drill, failsOnce(), secrets, dependencies, lockFiles];
  return {
    async scan({ payload: commit }: Message<Commit>) {
      const findings = findingsOf(commit, rules);
      for (const [id, finding] of findings) {
        await report(agent, id, finding);
        if (isSerious(finding.severity)) await escalate(agent, finding);
      }
      await agent.publish(SCANNED, scanOf(commit, [...findings.values()]), {
        id: `scanned:${commit.sha}`,
        type: "event",
      });
    },

    async report_gaps(): Promise<Gaps> {
      return gapsOf(await readLog(agent, SCANNED));
    },

    repair_rule({ rule }: { readonly rule: string }) {
      return { repaired: rule === drill.name && drill.repair() };
    },
  };
}

/** By the id of their messages: it follows from what was found, and where. */
function findingsOf(commit: Commit, rules: readonly Rule[]): ReadonlyMap<string, Finding> {
  const findings = new Map<string, Finding>();
  const { sha, time } = commit;
  for (const { name, check } of rules) {
    for (const { identity, ...hit } of check(commit)) {
      const finding = { rule: name, sha, time, ...hit, fingerprint: fingerprintOf(`${name} ${identity}`) };
      findings.set(findingId(finding), finding);
    }
  }
  return findings;
}

/**
 * The manifest asks for exactly-once: what is published here leaves when the scan has succeeded, and a scan that is
 * repeated because its process was killed publishes the same ids, which the broker recognises.
 */
function report(agent: MessagingService, id: string, finding: Finding): Promise<string> {
  return agent.publish(VULNERABILITIES, finding, {
    id,
    type: "event",
    priority: PRIORITIES[finding.severity],
  });
}

/** Asks triage what it thinks (a query) and opens an incident if it says so (a command). Both may come twice: neither adds up. */
async function escalate(agent: MessagingService, finding: Finding): Promise<void> {
  const { verdict } = await agent.request<Verdict>(TRIAGE.channel, { about: "finding", finding });
  if (verdict === "incident") await agent.sendCommand("triage", "open_incident", finding);
}

/** A scan that passes something over has to say so. */
function scanOf({ sha, files, filesOmitted }: Commit, findings: readonly Finding[]): Scan {
  const count = (wanted: Severity): number => findings.filter(({ severity }) => severity === wanted).length;
  return {
    sha,
    findings: Object.fromEntries(
      SEVERITIES.map((severity) => [severity, count(severity)]),
    ) as Scan["findings"],
    filesOmitted,
    filesCut: files.filter(({ cut }) => cut).length,
    fixturesSkipped: files.filter(isFixture).length,
  };
}

function gapsOf(scans: readonly Scan[]): Gaps {
  const sum = (key: keyof Gaps): number => scans.reduce((total, scan) => total + scan[key], 0);
  return {
    filesCut: sum("filesCut"),
    filesOmitted: sum("filesOmitted"),
    fixturesSkipped: sum("fixturesSkipped"),
  };
}

function isSerious(severity: Severity): boolean {
  return severity === "high" || severity === "critical";
}
