import { statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "./history/text.ts";

/** What the command line asks for. */
export interface Options {
  /** A folder, absolute. */
  readonly repository: string;
  readonly limit?: number;
  readonly watch: boolean;
  readonly json: boolean;
  readonly help: boolean;
  /** The folder of the run, where its messages are kept. */
  readonly data: string;
  /** Begins anew, whatever the folder holds. */
  readonly fresh: boolean;
}

/** Exit codes as in sysexits.h: usage, no such input, the folder of the run cannot be made, somebody else works in it. */
type UsageExitCode = 64 | 66 | 73 | 75;

/** A command line that cannot be followed. */
export class UsageError extends Error {
  readonly exitCode: UsageExitCode;

  constructor(message: string, exitCode: UsageExitCode = 64) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The checkout that this file is part of. */
const CHECKOUT = path.join(import.meta.dirname, "..", "..");

/** What `--help` prints. */
export const USAGE = `Watches a git history: three agents publish its commits, scan them and judge what is found.

  node examples/commit-watch/main.ts [repository] [--limit n] [--watch] [--json] [--data folder] [--fresh]

  repository      a folder; the checkout of this example when it is left out
  --limit n       only the newest n commits
  --watch         goes on with new commits until Ctrl-C
  --json          one JSON document on stdout, notices on stderr
  --data folder   where the messages of the run are kept; .herald/commit-watch in the checkout when it is left out
  --fresh         begins anew, although the run in that folder has not ended

A run that did not come to its end, killed or interrupted, goes on with the next start for the same commits.

Exit codes: 0 done, 1 the history could not be read to its end, 64 usage, 66 no such folder,
73 the folder of the run cannot be used, 75 another start works in it,
130 interrupted: what was published is still handled; a second Ctrl-C ends at once.
`;

/** Reads the arguments. Throws UsageError. */
export function optionsOf(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const { limit, watch = false, json = false, help = false, fresh = false } = values;
  const [repository, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`One repository at a time: '${more[0]}' is too many.`);
  if (repository !== undefined && statSync(repository, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`There is no folder '${repository}': give the folder of a git repository.`, 66);
  }
  return {
    watch,
    json,
    help,
    fresh,
    data: path.resolve(values.data ?? path.join(CHECKOUT, ".herald", "commit-watch")),
    repository: path.resolve(repository ?? CHECKOUT),
    ...(limit === undefined ? {} : { limit: wholeNumber(limit) }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        limit: { type: "string" },
        watch: { type: "boolean" },
        json: { type: "boolean" },
        data: { type: "string" },
        fresh: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError(`${messageOf(error)} Try --help.`);
  }
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value > 0) return value;
  throw new UsageError(`--limit must be a whole number of 1 or more, not '${text}'.`);
}
