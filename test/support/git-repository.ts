import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** A git repository in a temporary folder, untouched by the settings of whoever runs the test. */
export class GitRepository implements Disposable {
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), "herald-git-"));
    this.git("init", "--quiet", "--initial-branch=main");
  }

  /** Runs git here; its stdout without the last newline. */
  git(...args: readonly string[]): string {
    return this.#run(args, "");
  }

  /** Makes many small commits on the main branch at once; each writes one line, in one of fifty files. */
  fill(count: number, lineOf = (at: number): string => `line ${at}`): void {
    const commits = Array.from({ length: count }, (_, at) => {
      const text = `${lineOf(at)}\n`;
      const head = `commit refs/heads/main\ncommitter Ada <ada@harbour.example> ${1_700_000_000 + at} +0000\ndata 1\nx\n`;
      return `${head}M 100644 inline file-${at % 50}.txt\ndata ${text.length}\n${text}\n`;
    });
    this.#run(["fast-import", "--quiet"], commits.join(""));
  }

  #run(args: readonly string[], input: string): string {
    const env = {
      PATH: process.env["PATH"],
      HOME: this.folder,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_AUTHOR_NAME: "Ada Quay",
      GIT_AUTHOR_EMAIL: "ada@harbour.example",
      GIT_COMMITTER_NAME: "Ada Quay",
      GIT_COMMITTER_EMAIL: "ada@harbour.example",
    };
    return execFileSync("git", args, {
      cwd: this.folder,
      env,
      encoding: "utf8",
      input,
      stdio: ["pipe", "pipe", "pipe"],
    }).trimEnd();
  }

  /** Writes files and commits them; returns the commit's name. */
  commit(subject: string, files: Readonly<Record<string, string | Uint8Array>>): string {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(this.folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    this.git("add", "--all");
    this.git("commit", "--quiet", "--allow-empty", "--message", subject);
    return this.git("rev-parse", "HEAD");
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
