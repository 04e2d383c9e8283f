import { defineChannel } from "../../src/index.ts";

/** How bad a finding is, the least first. */
export const SEVERITIES = ["low", "medium", "high", "critical"] as const;

/** One of {@link SEVERITIES}. */
export type Severity = (typeof SEVERITIES)[number];

/** What a commit did to one file. */
export interface FileChange {
  readonly path: string;
  /** Lines; 0 for a binary file. */
  readonly added: number;
  /** Lines; 0 for a binary file. */
  readonly removed: number;
  readonly binary: boolean;
  /** The hunks as git prints them, from the first `@@` line on. */
  readonly patch: string;
  /** True when the patch was too long and ends before the file's diff does. */
  readonly cut: boolean;
}

/** One commit: a message on `code.commits`. */
export interface Commit {
  readonly sha: string;
  /** 0 for a root commit, 2 or more for a merge. */
  readonly parents: number;
  /** The author's name; the address stays where it is. */
  readonly author: string;
  /** ISO 8601 UTC. */
  readonly time: string;
  readonly subject: string;
  readonly files: readonly FileChange[];
  /** Files that are not listed because there are too many. */
  readonly filesOmitted: number;
}

/** One weakness that a commit brought: a message on `security.vulnerabilities`. It never holds a secret itself. */
export interface Finding {
  /** The rule that found it. */
  readonly rule: string;
  readonly severity: Severity;
  readonly sha: string;
  /** When the commit was made, ISO 8601 UTC. */
  readonly time: string;
  readonly path: string;
  /** Line in the new file; 0 when it is about the whole file. */
  readonly line: number;
  /** One sentence. */
  readonly summary: string;
  /** What was found, made unreadable where it is a secret. */
  readonly evidence: string;
  /** The same for the same weakness, wherever it is found in one run. */
  readonly fingerprint: string;
}

/** What is left to know of a commit once it was scanned: a message on `code.scanned`, which is kept. */
export interface Scan extends Gaps {
  readonly sha: string;
  /** Findings published about it. */
  readonly findings: Readonly<Record<Severity, number>>;
}

/** How the reading of a history ended: a message on `code.history`. */
export interface HistoryEnd {
  readonly state: "consumed" | "failed";
  /** Commits published. */
  readonly commits: number;
  /** Why it failed. */
  readonly reason?: string;
}

/** A question to triage on `security.triage`: about one finding, or about everything so far. */
export type TriageQuestion =
  | { readonly about: "finding"; readonly finding: Finding }
  | { readonly about: "everything" };

/** The answer about one finding. */
export interface Verdict {
  readonly verdict: "incident" | "watch";
  readonly reason: string;
}

/** What triage did about a finding: a message on `triage.journal`, which is kept. It is all that triage remembers. */
export type JournalEntry =
  | { readonly did: "count"; readonly severity: Severity }
  | { readonly did: "open"; readonly incident: string; readonly finding: Finding };

/** Something that somebody has to act on. */
export interface Incident {
  readonly id: string;
  readonly severity: Severity;
  readonly rule: string;
  /** Where it was found first, by the time of the commit. */
  readonly sha: string;
  readonly time: string;
  readonly path: string;
  readonly line: number;
  readonly evidence: string;
  /** How often the same weakness was found. */
  readonly sightings: number;
}

/** The answer about everything so far, since the run began and however often it was started. */
export interface Tally {
  /** Findings by severity, as far as triage's filter lets them through. */
  readonly findings: Readonly<Record<Severity, number>>;
  /** The most severe first. */
  readonly incidents: readonly Incident[];
}

/** What the scanner did not look at, in one commit or in all; the answer to its command `report_gaps`. */
export interface Gaps {
  /** Files whose diffs were too long: their first part was scanned. */
  readonly filesCut: number;
  /** Files of commits that had too many. */
  readonly filesOmitted: number;
  /** Changes of fixtures, whose secrets are fake on purpose. */
  readonly fixturesSkipped: number;
}

/** Commits, in the order of the history. */
export const COMMITS = defineChannel<Commit>("code.commits");
/** What the scanner found. */
export const VULNERABILITIES = defineChannel<Finding>("security.vulnerabilities");
/** Scanned commits, each once: whoever wants to know how far the run is reads it from its beginning. */
export const SCANNED = defineChannel<Scan>("code.scanned");
/** What triage did, each thing once. */
export const JOURNAL = defineChannel<JournalEntry>("triage.journal");
/** The end of a reading. */
export const HISTORY = defineChannel<HistoryEnd>("code.history");
/** Questions to triage. */
export const TRIAGE = defineChannel<TriageQuestion>("security.triage");
