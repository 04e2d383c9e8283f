import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";

/** How often each point is killed at. More by hand: HERALD_CRASH_RUNS=20 vitest run test/patterns/killed.test.ts */
export function crashRuns(usual = 1): number {
  return Number(process.env["HERALD_CRASH_RUNS"] ?? usual);
}

/** What a killed process had said, in whole lines. */
export interface Killed {
  readonly lines: readonly string[];
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** Asked at each whole line that a child says, with how many there were: in how many milliseconds it is killed, if it is. */
export type Deadline = (line: string, count: number) => number | undefined;

/** Kills the child so many milliseconds after it was ready: where it may die with nothing done. */
export function afterReady(ms: number): Deadline {
  return (_line, count) => (count === 1 ? ms : undefined);
}

/** Runs a child, else that of the stores, until it ends or is killed. */
export function runChild(
  order: object,
  deadline?: Deadline,
  {
    program = "child-stores.ts",
    onStart,
  }: { readonly program?: string; readonly onStart?: (child: ChildProcess) => void } = {},
): Promise<Killed> {
  return new Promise((resolve, reject) => {
    const { NODE_V8_COVERAGE: _coverage, ...env } = process.env;
    const child = spawn(process.execPath, [path.join(import.meta.dirname, program), JSON.stringify(order)], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    onStart?.(child);
    let stderr = "";
    let unended = "";
    const lines: string[] = [];
    const hear = (line: string): void => {
      const count = lines.push(line);
      const ms = deadline?.(line, count);
      if (ms !== undefined) setTimeout(() => child.kill("SIGKILL"), ms);
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const said = (unended + text).split("\n");
      unended = said.pop() ?? "";
      said.forEach(hear);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (_code, signal) => resolve({ lines, signal, stderr }));
  });
}
