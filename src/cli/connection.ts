import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { usage } from "./duration.ts";

/** Who a command talks to. */
export interface Connection {
  /** Agents of these manifests are started in this process; none: those that run elsewhere are talked to. */
  readonly manifest: readonly string[];
  /** The broker; undefined: `HERALD_URL`, else the project's file broker. */
  readonly url: string | undefined;
  /** Files of routing rules, for what this process publishes. */
  readonly routing?: readonly string[];
}

/** The folder of a project's own broker. */
const FOLDER = ".herald";
/** What stands at the top of a project. */
const MARKS = [FOLDER, "package.json", ".git"];

/** The broker's URL. Throws `USAGE` for a memory broker on which nobody would be. */
export function urlOf({ manifest, url }: Connection): string {
  const chosen = url ?? (process.env["HERALD_URL"] || undefined);
  if (chosen === undefined) return `file:${projectFolder()}`;
  if (manifest.length > 0 || !chosen.startsWith("memory:")) return chosen;
  throw usage(
    `On '${chosen}' is nobody to talk to.`,
    "A memory broker lives in one process, and this one begins empty.",
    "Start agents with --manifest, or leave --url out to use the project's file broker.",
  );
}

/** Made when it is not there, and kept out of version control. */
function projectFolder(): string {
  const folder = path.join(projectTop(process.cwd()), FOLDER);
  if (!existsSync(folder)) {
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(path.join(folder, ".gitignore"), "*\n");
  }
  return folder;
}

/** The nearest folder above that looks like the top of a project, else the folder itself. */
function projectTop(from: string): string {
  for (let folder = from; ; folder = path.dirname(folder)) {
    if (MARKS.some((mark) => existsSync(path.join(folder, mark)))) return folder;
    if (path.dirname(folder) === folder) return from;
  }
}
