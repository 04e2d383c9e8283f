import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { openSync, closeSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { listenOnFreePort } from "../../../src/testing/free-port.ts";
import { guard } from "./guard.ts";

const READY_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 10;

/** Where and how one server runs. */
export interface ServerPlan {
  readonly binary: string;
  readonly args: readonly string[];
  /** Beside the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly folder: string;
  /** True: it outlives the process that started it. */
  readonly detached: boolean;
  /** Resolves when the server answers as one that can be used; rejects while it does not. */
  readonly answers: () => Promise<unknown>;
  /** What is done to its data before every start. */
  readonly before?: () => void;
}

/** One server that was started here: to be hurt, and to be stopped. */
export class ServerProcess {
  readonly plan: ServerPlan;
  #child: ChildProcess | undefined;

  constructor(plan: ServerPlan) {
    this.plan = plan;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it on its data; resolves when it answers. It dies with this process unless it is detached. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const { binary, args, folder, detached } = this.plan;
    this.plan.before?.();
    const log = openSync(path.join(folder, "server.log"), "a");
    const env = { ...process.env, ...this.plan.env };
    const child = spawn(binary, args, { cwd: folder, detached, env, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#child = child;
    const ended = () => this.#ended(child);
    child.once("exit", ended).once("error", ended);
    if (detached) child.unref();
    else if (child.pid !== undefined) child.once("exit", guard(child.pid));
    await this.#answers();
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM: it ends in its own time; resolves when the process is gone. */
  async end(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** SIGSTOP: connections stay, nothing is answered. Resolves when every thread of it stands. */
  async pause(): Promise<void> {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    this.#child?.kill("SIGSTOP");
    while (this.#child !== undefined && !stands(pid)) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  #ended(child: ChildProcess): void {
    if (this.#child === child) this.#child = undefined;
  }

  async #answers(): Promise<void> {
    const { port, folder, answers } = this.plan;
    const endsAt = performance.now() + READY_WITHIN_MS;
    let last = "it ended";
    while (this.#child !== undefined && performance.now() < endsAt) {
      try {
        await answers();
        return;
      } catch (error) {
        last = (error as Error).message;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    await this.kill();
    const log = readFileSync(path.join(folder, "server.log"), "utf8").trim().split("\n");
    throw new Error(
      `The server on port ${port} does not answer (${last}). Its log ends:\n${log.slice(-40).join("\n")}`,
    );
  }
}

/** True when a process is stopped, and where nobody can tell. */
function stands(pid: number): boolean {
  try {
    return /^State:\s*T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

/** Ports on loopback that nobody listens on, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(probes.map((probe) => listenOnFreePort(probe)));
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}
