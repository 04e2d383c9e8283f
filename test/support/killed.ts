import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";

/** What a killed process had said, in whole lines. */
export interface Killed {
  readonly lines: readonly string[];
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** Runs a child, else that of the stores, until it ends, or kills it so many milliseconds after it was ready. */
export function runChild(
  order: object,
  killAfterMs?: number,
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
    let said = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (said === "" && killAfterMs !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
      said += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (_code, signal) => resolve({ lines: said.split("\n").slice(0, -1), signal, stderr }));
  });
}
