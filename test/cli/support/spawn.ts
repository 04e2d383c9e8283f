import { spawn, type ChildProcessByStdio } from "node:child_process";
import path from "node:path";
import type { Readable, Writable } from "node:stream";

const MAIN = path.resolve(import.meta.dirname, "../../../src/cli/main.ts");

/** How the real process is started. */
export interface SpawnOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The command line as a process of its own, on pipes. */
export class Herald {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly ended: Promise<{ readonly exit: number | null; readonly stdout: string; readonly stderr: string }>;
  #stdout = "";
  #stderr = "";

  constructor(argv: readonly string[], { stdin, cwd, env = {} }: SpawnOptions = {}) {
    // What the shell of a test run says of colours and width is not what is tested.
    const {
      NO_COLOR: _no,
      FORCE_COLOR: _force,
      COLUMNS: _columns,
      NODE_OPTIONS: _options,
      ...inherited
    } = process.env;
    this.process = spawn(process.execPath, [MAIN, ...argv], {
      stdio: ["pipe", "pipe", "pipe"],
      ...(cwd === undefined ? {} : { cwd }),
      // Agents of one test are nobody else's.
      env: { ...inherited, HERALD_URL: "memory:", ...env },
    });
    this.process.stdout.on("data", (chunk: Buffer) => (this.#stdout += chunk.toString()));
    this.process.stderr.on("data", (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.ended = new Promise((resolve, reject) => {
      this.process.on("error", reject);
      this.process.on("close", (exit) => resolve({ exit, stdout: this.#stdout, stderr: this.#stderr }));
    });
    if (stdin !== undefined) this.process.stdin.end(stdin);
  }

  /** Resolves once stderr has said this; rejects when the process ends before. */
  async said(text: string): Promise<void> {
    while (!this.#stderr.includes(text)) {
      const ended = await Promise.race([
        this.ended,
        new Promise<undefined>((resolve) => this.process.stderr.once("data", () => resolve(undefined))),
      ]);
      if (ended !== undefined && !this.#stderr.includes(text))
        throw new Error(`It ended without saying '${text}': ${ended.stderr}`);
    }
  }
}

/** Runs the command line in a process of its own, to its end. */
export function herald(argv: readonly string[], options: SpawnOptions = {}): Herald["ended"] {
  return new Herald(argv, { stdin: "", ...options }).ended;
}
