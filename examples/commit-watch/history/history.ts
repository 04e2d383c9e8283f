import { setTimeout as sleep } from "node:timers/promises";
import type { Commit } from "../channels.ts";
import { headOf, probeGit, readCommits, type GitRange } from "./git.ts";
import { readSample } from "./sample.ts";

/** Which commits of a history. */
export type HistoryRange = Pick<GitRange, "limit" | "upTo">;

/** Commits from somewhere. */
export interface History {
  readonly origin: "git" | "sample";
  /** The folder that was asked for. */
  readonly repository: string;
  /** Why it is the sample. */
  readonly reason?: string;
  /** The oldest first, up to one or to HEAD; only the newest `limit` of them when it is given. */
  commits(range: HistoryRange): AsyncGenerator<Commit, void, undefined>;
  /** One commit; undefined when there is none of this name. */
  commit(sha: string): Promise<Commit | undefined>;
  /** What is committed after `sha` from now on, until `isOver`. Absent where nothing can be added. */
  readonly follow?: (
    sha: string | undefined,
    isOver: () => boolean,
  ) => AsyncGenerator<Commit, void, undefined>;
}

const LOOK_EVERY_MS = 1000;

/** The history of a folder, or the sample where the folder has none. */
export async function openHistory(repository: string): Promise<History> {
  const probe = await probeGit(repository);
  return "problem" in probe ? sampleHistory(repository, probe.problem) : gitHistory(repository);
}

function gitHistory(folder: string): History {
  return {
    origin: "git",
    repository: folder,
    commits: ({ limit, upTo }) => readCommits(folder, { limit, upTo }),
    commit: (sha) => first(readCommits(folder, { limit: 1, upTo: sha })),
    follow: (sha, isOver) => followGit(folder, sha, isOver),
  };
}

function sampleHistory(repository: string, reason: string): History {
  return {
    origin: "sample",
    repository,
    reason,
    commits: ({ limit }) => readSample(limit),
    commit: (sha) => first(readSample(), (commit) => commit.sha === sha),
  };
}

async function* followGit(
  folder: string,
  sha: string | undefined,
  isOver: () => boolean,
): AsyncGenerator<Commit, void, undefined> {
  let known = sha;
  for (;;) {
    // Looking for new commits alone is no reason to keep a process alive.
    await sleep(LOOK_EVERY_MS, undefined, { ref: false });
    if (isOver()) return;
    const head = await headOf(folder);
    if (head === undefined || head === known) continue;
    // What the old head does not reach is new, also after an amend or a rebase.
    yield* readCommits(folder, { after: known, upTo: head });
    known = head;
  }
}

async function first(
  commits: AsyncIterable<Commit>,
  wanted: (commit: Commit) => boolean = () => true,
): Promise<Commit | undefined> {
  for await (const commit of commits) if (wanted(commit)) return commit;
  return undefined;
}
