import { statSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "./history/text.ts";

/** What the command line asks for. */
export interface Options {
  readonly repository?: string;
  readonly limit?: number;
  readonly watch: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

/** A command line that cannot be followed. Exit codes as in sysexits.h: 64 usage, 66 no such input. */
export class UsageError extends Error {
  readonly exitCode: 64 | 66;

  constructor(message: string, exitCode: 64 | 66 = 64) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What `--help` prints. */
export const USAGE = `Watches a git history: three agents publish its commits, scan them and judge what is found.

  node examples/commit-watch/main.ts [repository] [--limit n] [--watch] [--json]

  repository   a folder; the checkout of this example when it is left out
  --limit n    only the newest n commits
  --watch      goes on with new commits until Ctrl-C
  --json       one JSON document on stdout, notices on stderr

Exit codes: 0 done, 1 the history could not be read to its end, 64 usage, 66 no such folder,
130 interrupted: what was published is still handled; a second Ctrl-C ends at once.
`;

/** Reads the arguments. Throws UsageError. */
export function optionsOf(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const { limit, watch = false, json = false, help = false } = values;
  const [repository, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`One repository at a time: '${more[0]}' is too many.`);
  if (repository !== undefined && statSync(repository, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`There is no folder '${repository}': give the folder of a git repository.`, 66);
  }
  return {
    watch,
    json,
    help,
    ...(repository === undefined ? {} : { repository }),
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
