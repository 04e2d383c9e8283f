import { createHmac, randomBytes } from "node:crypto";
import type { Message, MessagingService } from "../../src/index.ts";
import {
  TRIAGE,
  VULNERABILITIES,
  type Commit,
  type Finding,
  type Gaps,
  type Severity,
  type Verdict,
} from "./channels.ts";
import { dependencies } from "./rules/dependencies.ts";
import { failsOnce, failsUntilRepaired } from "./rules/drills.ts";
import { lockFiles } from "./rules/lock-files.ts";
import type { Rule } from "./rules/rule.ts";
import { isFixture, secrets } from "./rules/secrets.ts";

/** The more severe, the sooner it is handled. */
const PRIORITIES = { low: "low", medium: "normal", high: "high", critical: "critical" } as const;
/** New for every run: a fingerprint tells nobody anything about the secret behind it. */
const KEY = randomBytes(32);

/** The agent of `security-scanner.yaml`. */
export default function securityScanner(agent: MessagingService) {
  // The drills stand first, so that a commit fails before anything is published about it.
  const drill = failsUntilRepaired();
  const rules: readonly Rule[] = [drill, failsOnce(), secrets, dependencies, lockFiles];
  const gaps = { filesCut: 0, filesOmitted: 0, fixturesSkipped: 0 };
  return {
    async scan({ payload: commit }: Message<Commit>) {
      for (const finding of findingsOf(commit, rules)) {
        await report(agent, finding);
        if (isSerious(finding.severity)) await escalate(agent, finding);
      }
      addGaps(gaps, commit);
    },

    report_gaps(): Gaps {
      return gaps;
    },

    repair_rule({ rule }: { readonly rule: string }) {
      return { repaired: rule === drill.name && drill.repair() };
    },
  };
}

function findingsOf(commit: Commit, rules: readonly Rule[]): Finding[] {
  return rules.flatMap(({ name, check }) =>
    [...check(commit)].map(({ identity, ...hit }) => ({
      rule: name,
      sha: commit.sha,
      ...hit,
      fingerprint: digest(`${name} ${identity}`),
    })),
  );
}

function digest(text: string): string {
  return createHmac("sha256", KEY).update(text).digest("hex").slice(0, 16);
}

/** A commit may be scanned twice, its findings are published once: their ids follow from what was found, and where. */
function report(agent: MessagingService, finding: Finding): Promise<string> {
  const { sha, fingerprint, path, line } = finding;
  const id = `${sha}:${fingerprint}:${digest(`${path}:${line}`)}`;
  return agent.publish(VULNERABILITIES, finding, {
    id,
    dedupe: true,
    type: "event",
    priority: PRIORITIES[finding.severity],
  });
}

/** Asks triage what it thinks (a query) and opens an incident if it says so (a command). */
async function escalate(agent: MessagingService, finding: Finding): Promise<void> {
  const { verdict } = await agent.request<Verdict>(TRIAGE.channel, { about: "finding", finding });
  if (verdict === "incident") await agent.sendCommand("triage", "open_incident", finding);
}

/** A scan that passes something over has to say so. */
function addGaps(gaps: { -readonly [K in keyof Gaps]: Gaps[K] }, { files, filesOmitted }: Commit): void {
  gaps.filesOmitted += filesOmitted;
  gaps.filesCut += files.filter(({ cut }) => cut).length;
  gaps.fixturesSkipped += files.filter(isFixture).length;
}

function isSerious(severity: Severity): boolean {
  return severity === "high" || severity === "critical";
}
