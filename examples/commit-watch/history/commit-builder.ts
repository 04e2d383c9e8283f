import type { Commit, FileChange } from "../channels.ts";
import { cutText } from "./text.ts";

/** How much of a commit is kept. A character becomes at most three bytes of JSON: all of it fits into a message of 1 MiB. */
export const LIMITS = { patchChars: 64 * 1024, allPatchesChars: 192 * 1024, pathsChars: 64 * 1024 } as const;

/** What every listed file costs beside its path: names and numbers. */
const FILE_CHARS = 80;
const MAX_PATH = 1000;
const MAX_SUBJECT = 300;
const MAX_AUTHOR = 100;
/** The last second that ISO 8601 writes with a year of four digits. */
const LAST_SECOND = 253_402_300_799;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Collects one commit while its diff streams by, and never more of it than {@link LIMITS} allow. */
export class CommitBuilder {
  readonly #commit: Omit<Commit, "files" | "filesOmitted">;
  readonly #files: FileChange[] = [];
  #filesOmitted = 0;
  #pathsLeft: number = LIMITS.pathsChars;
  #patchesLeft: number = LIMITS.allPatchesChars;
  #file: Writable<FileChange> | undefined;
  #hunks: string[] = [];
  #patchLeft = 0;

  /** `seconds`: since 1970, as the committer's clock said, which may be anything. */
  constructor(head: {
    readonly sha: string;
    readonly parents: number;
    readonly author: string;
    readonly seconds: number;
    readonly subject: string;
  }) {
    const { sha, parents, author, subject, seconds } = head;
    const time = new Date(Math.min(Math.max(0, seconds || 0), LAST_SECOND) * 1000).toISOString();
    this.#commit = {
      sha,
      parents,
      author: cutText(author, MAX_AUTHOR),
      time,
      subject: cutText(subject, MAX_SUBJECT),
    };
  }

  /** The lines that follow belong to this file. */
  startFile(path: string): void {
    this.#endFile();
    const shown = cutText(path, MAX_PATH);
    this.#pathsLeft -= shown.length + FILE_CHARS;
    if (this.#pathsLeft < 0) this.#filesOmitted++;
    this.#file = { path: shown, added: 0, removed: 0, binary: false, patch: "", cut: false };
    this.#patchLeft = Math.min(LIMITS.patchChars, this.#patchesLeft);
  }

  markBinary(): void {
    if (this.#file !== undefined) this.#file.binary = true;
  }

  /** Counts a line of a hunk; its text is asked for only while there is room for it. */
  addLine(
    kind: "added" | "removed" | "other",
    text: () => { readonly text: string; readonly cut: boolean },
  ): void {
    const file = this.#file;
    if (file === undefined) return;
    if (kind !== "other") file[kind]++;
    if (file.cut) return;
    const line = text();
    // After a gap line numbers would be wrong: the patch ends at the first line that does not fit.
    file.cut = line.text.length + 1 > this.#patchLeft;
    if (file.cut) return;
    this.#patchLeft -= line.text.length + 1;
    this.#patchesLeft -= line.text.length + 1;
    this.#hunks.push(line.text);
    file.cut = line.cut;
  }

  build(): Commit {
    this.#endFile();
    return { ...this.#commit, files: this.#files, filesOmitted: this.#filesOmitted };
  }

  #endFile(): void {
    const file = this.#file;
    if (file === undefined) return;
    file.patch = this.#hunks.join("\n");
    this.#hunks = [];
    if (this.#pathsLeft >= 0) this.#files.push(file);
    this.#file = undefined;
  }
}
