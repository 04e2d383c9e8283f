import { HeraldError } from "../../core/errors.ts";

/** One thing that is wrong with a configuration. */
export interface ConfigIssue {
  /** Like `redis.port`, or the name of an environment variable. */
  readonly path: string;
  /** From 1; 0 where it was not read from a file. */
  readonly line: number;
  readonly column: number;
  /** A clause that follows the path: `must be …, not …`. */
  readonly message: string;
  readonly hint?: string;
}

/**
 * A configuration that cannot be used: code `INVALID_ARGUMENT`, one sentence about the first thing that is wrong, where it
 * stands, and how many more there are. Details: `source`, `path`, `issues`. Values of secrets are in none of them.
 */
export class ConfigError extends HeraldError {
  constructor(source: string, issues: readonly ConfigIssue[]) {
    const [first, ...others] = issues;
    const place =
      first === undefined || first.line === 0 ? source : `${source}:${first.line}:${first.column}`;
    const subject = first?.path === "" ? "the configuration" : (first?.path ?? "the configuration");
    const hint = first?.hint === undefined ? "" : ` ${first.hint}`;
    const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
    super("INVALID_ARGUMENT", `${place}: ${subject} ${first?.message ?? "cannot be used"}.${hint}${more}`, {
      details: { source, path: first?.path ?? "", issues },
    });
    this.name = "ConfigError";
  }
}
