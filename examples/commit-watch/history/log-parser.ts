import type { Commit } from "../channels.ts";
import { CommitBuilder } from "./commit-builder.ts";
import type { Line } from "./lines.ts";
import { textOf, unquotePath } from "./text.ts";

const NUL = "\0";
const PLUS = 0x2b;
const MINUS = 0x2d;
const SPACE = 0x20;
const BACKSLASH = 0x5c;

/** The format to give to `git log`: one line a commit that no diff can imitate, because `mark` is new for every run. */
export function logFormat(mark: string): string {
  return `tformat:${mark}%x00%H%x00%P%x00%an%x00%at%x00%s`;
}

/** Reads what `git log -p` prints, line by line. It keeps one commit, and of it no more than fits into a message. */
export class LogParser {
  readonly #mark: string;
  #commit: CommitBuilder | undefined;
  /** How many columns of signs a line of the hunk has: 1, or the number of parents in the diff of a merge. */
  #columns = 0;

  constructor(mark: string) {
    this.#mark = mark + NUL;
  }

  /** The commit that this line shows to be complete, if it does. */
  push(line: Line): Commit | undefined {
    const { bytes } = line;
    if (startsWith(bytes, this.#mark)) {
      const done = this.end();
      this.#commit = startCommit(bytes);
      return done;
    }
    if (this.#commit === undefined || bytes.length === 0) return undefined;
    if (this.#columns > 0 && isHunkLine(bytes)) this.#hunkLine(this.#commit, line);
    else this.#headLine(this.#commit, line);
    return undefined;
  }

  /** The last commit, when the input has ended. */
  end(): Commit | undefined {
    const done = this.#commit?.build();
    this.#commit = undefined;
    this.#columns = 0;
    return done;
  }

  #headLine(commit: CommitBuilder, line: Line): void {
    const { bytes } = line;
    if (startsWith(bytes, "@@")) {
      this.#columns = Math.max(1, leadingAts(bytes) - 1);
      commit.addLine("other", () => ({ text: textOf(bytes), cut: line.cut }));
    } else if (startsWith(bytes, "diff --")) {
      this.#columns = 0;
      commit.startFile(pathOf(bytes));
    } else if (startsWith(bytes, "Binary files ")) commit.markBinary();
  }

  #hunkLine(commit: CommitBuilder, line: Line): void {
    const { bytes } = line;
    const signs = bytes.subarray(0, this.#columns);
    const kind = bytes[0] === BACKSLASH ? "other" : kindOf(signs);
    commit.addLine(kind, () => ({ text: textOf(bytes), cut: line.cut }));
  }
}

function startCommit(bytes: Buffer): CommitBuilder {
  const [, sha = "", parents = "", author = "", seconds = "", subject = ""] = bytes
    .toString("utf8")
    .split(NUL);
  return new CommitBuilder({
    sha,
    parents: parents === "" ? 0 : parents.split(" ").length,
    author: textOf(Buffer.from(author)),
    seconds: Number(seconds),
    subject: textOf(Buffer.from(subject)),
  });
}

/** `diff --git a/<path> b/<path>`, both the same because renames are not looked for; `diff --cc <path>` for a merge. */
function pathOf(bytes: Buffer): string {
  const rest = bytes.subarray(bytes.indexOf(" ", "diff --".length) + 1);
  if (!startsWith(bytes, "diff --git ")) return unquotePath(rest);
  const one = rest.subarray(0, (rest.length - 1) / 2);
  const path = unquotePath(one);
  return path.replace(/^a\//, "");
}

function isHunkLine(bytes: Buffer): boolean {
  const first = bytes[0];
  return first === SPACE || first === PLUS || first === MINUS || first === BACKSLASH;
}

function kindOf(signs: Buffer): "added" | "removed" | "other" {
  if (signs.includes(PLUS)) return "added";
  return signs.includes(MINUS) ? "removed" : "other";
}

function leadingAts(bytes: Buffer): number {
  let count = 0;
  while (bytes[count] === 0x40) count++;
  return count;
}

function startsWith(bytes: Buffer, text: string): boolean {
  return bytes.length >= text.length && bytes.toString("latin1", 0, text.length) === text;
}
