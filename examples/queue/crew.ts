import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

const WORKER = path.join(import.meta.dirname, "worker.ts");

/** One process of workers. */
export class Crew {
  readonly name: string;
  readonly #process: ChildProcess;

  private constructor(name: string, process: ChildProcess) {
    this.name = name;
    this.#process = process;
  }

  /** Resolves once it takes jobs. */
  static async start(
    name: string,
    { directory, perSecond }: { readonly directory: string; readonly perSecond: number },
  ): Promise<Crew> {
    const child = spawn(process.execPath, [WORKER, directory, name, String(perSecond)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`${name} ended with ${String(code)} before it was ready.`);
    });
    await Promise.race([once(child.stdout, "data"), ended]);
    ended.catch(() => undefined);
    return new Crew(name, child);
  }

  /** `SIGKILL`: in the middle of whatever it does. `SIGTERM`: it ends its jobs first. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }
}
