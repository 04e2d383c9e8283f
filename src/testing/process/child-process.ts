import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { HistoryEvent } from "../checker/history.ts";
import type { ChildNotice, ChildOrder, ChildSpec } from "./spec.ts";

/** What a child said: an event of its history, or a notice. */
export type ChildLine = HistoryEvent | (ChildNotice & { readonly at: number });

/** How a process ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

// Runs from source and as it is built.
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "child.ts" : "child.js", import.meta.url),
);
const STDERR_KEPT = 4000;

/** One process: started without a role, so that it may be kept warm, and given one later. */
export class ChildProcess {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly ended: Promise<ChildEnd>;
  #rest = "";
  #stderr = "";
  #onLine: (line: ChildLine) => void = () => undefined;
  #isOver = false;

  constructor(module: string, heapMb: number | undefined) {
    const flags = heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`];
    this.#process = spawn(process.execPath, [...process.execArgv, ...flags, PROGRAM, module], {
      stdio: ["pipe", "pipe", "pipe"],
      env: environment(),
    });
    this.#process.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    // What is written to a process that was just killed goes nowhere.
    this.#process.stdin.on("error", () => undefined);
    this.ended = once(this.#process, "close").then(([code, signal]) => {
      this.#isOver = true;
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The end of what it wrote to standard error. */
  get stderr(): string {
    return this.#stderr;
  }

  begin(spec: ChildSpec, onLine: (line: ChildLine) => void): void {
    this.#onLine = onLine;
    this.#process.stdin.write(`${JSON.stringify(spec)}\n`);
  }

  order(order: ChildOrder): void {
    this.#process.stdin.write(`${JSON.stringify(order)}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver) this.#process.kill(signal);
  }

  /** A line that was cut off by the process's end is no line. */
  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#onLine(JSON.parse(line) as ChildLine);
  }
}

/** Compiled once for all processes of a machine; a killed process has no coverage to tell. */
function environment(): NodeJS.ProcessEnv {
  const cache = { NODE_COMPILE_CACHE: path.join(tmpdir(), "herald-compile-cache") };
  const { NODE_V8_COVERAGE: _coverage, ...rest } = process.env;
  return { ...cache, ...rest };
}
