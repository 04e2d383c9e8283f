import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { text as readText } from "node:stream/consumers";
import { promisify } from "node:util";
import type { Commit } from "../channels.ts";
import { linesOf } from "./lines.ts";
import { logFormat, LogParser } from "./log-parser.ts";
import { cutText, textOf } from "./text.ts";

const run = promisify(execFile);
const MAX_LINE_BYTES = 16 * 1024;

/** Settings of the user that would change what is parsed. */
const CONFIG = [
  "core.quotePath=false",
  "diff.suppressBlankEmpty=false",
  "log.showRoot=true",
  "log.showSignature=false",
];

/** A merge shows only what it resolved in its own way (`--cc`): the rest belongs to the commits that it joins. */
const LOG_OPTIONS = [
  "--patch",
  "--cc",
  "--no-renames",
  "--no-color",
  "--no-ext-diff",
  "--no-textconv",
  "--no-relative",
  "--submodule=short",
  "--src-prefix=a/",
  "--dst-prefix=b/",
  "--encoding=UTF-8",
];

/** Which commits to read. */
export interface GitRange {
  /** Only the newest. */
  readonly limit?: number | undefined;
  /** Not this one and what came before it. */
  readonly after?: string | undefined;
  /** The newest one to read; HEAD unless it is given. */
  readonly upTo?: string | undefined;
}

/** Where the history of a folder is, or why there is none. */
export type Probe = { readonly folder: string; readonly head: string } | { readonly problem: string };

/** Looks for a history: a repository with at least one commit, and git to read it. Never rejects. */
export async function probeGit(folder: string): Promise<Probe> {
  try {
    await git(folder, ["rev-parse", "--git-dir"]);
  } catch (error) {
    return { problem: describe(error) };
  }
  const head = await headOf(folder);
  return head === undefined ? { problem: "the repository has no commits yet" } : { folder, head };
}

/** The newest commit; undefined where there is none. */
export async function headOf(folder: string): Promise<string | undefined> {
  try {
    return await git(folder, ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]);
  } catch {
    return undefined;
  }
}

/** Commits, the oldest first, one at a time: git waits while its reader is busy. Rejects with git's own words. */
export async function* readCommits(
  folder: string,
  range: GitRange = {},
): AsyncGenerator<Commit, void, undefined> {
  const { limit, after, upTo = "HEAD" } = range;
  const mark = randomBytes(12).toString("hex");
  const revisions = after === undefined ? [upTo] : [upTo, `^${after}`];
  const count = limit === undefined ? [] : [`--max-count=${limit}`];
  const format = `--format=${logFormat(mark)}`;
  const child = spawn(
    "git",
    withConfig(folder, ["log", "--reverse", format, ...LOG_OPTIONS, ...count, ...revisions, "--"]),
    {
      env: cleanEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const problem = readText(child.stderr);
  const ended = new Promise<number | null>((resolve, reject) =>
    child.on("close", resolve).on("error", reject),
  );
  // Whoever stops reading early is not interested in how git ends.
  ended.catch(() => {});
  try {
    yield* parse(child.stdout, mark);
    if ((await ended) !== 0) throw new Error(firstLine(await problem));
  } finally {
    child.kill();
  }
}

async function* parse(stdout: AsyncIterable<Buffer>, mark: string): AsyncGenerator<Commit, void, undefined> {
  const parser = new LogParser(mark);
  for await (const lines of linesOf(stdout, MAX_LINE_BYTES)) {
    for (const line of lines) {
      const commit = parser.push(line);
      if (commit !== undefined) yield commit;
    }
  }
  const last = parser.end();
  if (last !== undefined) yield last;
}

async function git(folder: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run("git", withConfig(folder, args), { env: cleanEnvironment() });
  return stdout.trim();
}

function withConfig(folder: string, args: readonly string[]): string[] {
  return ["-C", folder, "--no-pager", ...CONFIG.flatMap((setting) => ["-c", setting]), ...args];
}

/** Inside a git hook the variables of git would lead to another repository than the one that was asked for. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const names = Object.keys(process.env).filter((name) => !/^GIT_(?!CONFIG|EXEC_PATH)/.test(name));
  return { ...Object.fromEntries(names.map((name) => [name, process.env[name]])), LC_ALL: "C" };
}

function describe(error: unknown): string {
  const { code, stderr } = error as { code?: unknown; stderr?: string };
  if (code === "ENOENT") return "git is not installed";
  return firstLine(stderr ?? String(error));
}

function firstLine(said: string): string {
  const line = said.trim().split("\n", 1)[0] ?? "";
  return cutText(textOf(Buffer.from(line.replace(/^fatal: /, ""))) || "git failed without a word", 200);
}
