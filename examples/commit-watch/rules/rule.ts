import type { Commit, Severity } from "../channels.ts";

/** What a rule has to say about one place in a commit. */
export interface Hit {
  readonly severity: Severity;
  readonly path: string;
  /** Line in the new file; 0 when it is about the whole file. */
  readonly line: number;
  /** One sentence. */
  readonly summary: string;
  /** Can be shown to everybody: a secret is redacted here already. */
  readonly evidence: string;
  /** The thing itself, a secret perhaps. It never leaves the scanner, which makes the fingerprint from it. */
  readonly identity: string;
}

/** One thing to look for in a commit. */
export interface Rule {
  readonly name: string;
  readonly check: (commit: Commit) => Iterable<Hit>;
}
