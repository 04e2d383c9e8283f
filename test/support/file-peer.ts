import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Order } from "./file-peer-program.ts";

const PROGRAM = path.join(import.meta.dirname, "file-peer-program.ts");
const running = new Set<FilePeer>();

/** What a peer received: id and attempt. */
export type Received = readonly (readonly [id: string, attempt: number])[];

/** A file broker in another process. */
export class FilePeer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  private constructor() {
    this.#process = spawn(process.execPath, [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin.on("error", () => undefined);
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    running.add(this);
  }

  /** A peer with an open broker over a folder. */
  static async start(directory: string, leaseMs = 30_000): Promise<FilePeer> {
    const peer = new FilePeer();
    await peer.tell({ op: "open", directory, leaseMs });
    return peer;
  }

  /** Kills every peer that a test has left. */
  static async endAll(): Promise<void> {
    await Promise.all([...running].map((peer) => peer.kill()));
  }

  async tell(order: Order): Promise<unknown> {
    this.#process.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error("The process of a file broker has ended.");
    const answer = JSON.parse(value) as unknown;
    const failed = (answer as { error?: string } | null)?.error;
    if (failed !== undefined) throw new Error(failed);
    return answer;
  }

  async receive(limit: number, waitMs: number): Promise<Received> {
    return (await this.tell({ op: "receive", limit, waitMs })) as Received;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    running.delete(this);
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }
}
