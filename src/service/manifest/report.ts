import { pathText, type Segment } from "../schema/path.ts";
import type { AgentManifest, Dialect } from "./model.ts";
import type { Problem } from "./problems.ts";

/** One thing that is wrong with a manifest, or worth knowing. */
export interface ManifestIssue {
  /** Like `spec.messaging.publishes[0].channel`; empty for the file as a whole. */
  readonly path: string;
  /** From 1; 0 when the place is not known, because the manifest was not read from text. */
  readonly line: number;
  /** From 1, in characters; 0 when the place is not known. */
  readonly column: number;
  /** A clause that follows the path: `must be …, not …`. */
  readonly message: string;
  readonly expected?: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** What became of reading a manifest: `manifest` is there when there are no errors. */
export interface ManifestReport {
  readonly valid: boolean;
  readonly file: string | undefined;
  readonly dialect?: Dialect;
  readonly manifest?: AgentManifest;
  /** In the order of the file. */
  readonly errors: readonly ManifestIssue[];
  readonly warnings: readonly ManifestIssue[];
}

/** Line and column of a place, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Finds where something stands in the text it was read from. */
export type Locate = (segments: readonly Segment[], onKey?: boolean) => Position;

/** A problem with its place. */
export function issueOf(problem: Problem, locate: Locate): ManifestIssue {
  const { segments, message, expected, hint, onKey } = problem;
  return {
    path: pathText(segments),
    ...locate(segments, onKey),
    message,
    ...(expected === undefined ? {} : { expected }),
    ...(hint === undefined ? {} : { hint }),
  };
}
