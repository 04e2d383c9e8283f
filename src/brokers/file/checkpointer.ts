import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Bytes that the log may grow by before it is copied into the database. */
const GROWN_BYTES = 8 * 1024 * 1024;
/** After a failure the log is left alone for so long; SQLite copies it by itself when it is much longer. */
const REST_MS = 5000;

/**
 * Has the log copied into the database by a thread of its own, which starts when there is something to copy: copying is
 * as much work for the disk as writing was, and whoever writes need not wait for it. The last step is left to the writer
 * (`finish`): it copies what was written since, so that the log can begin again.
 */
export class Checkpointer {
  readonly #database: string;
  readonly #finish: () => void;
  #worker: Worker | undefined;
  #grown = 0;
  #isCopying = false;
  #restsUntil = -Infinity;

  constructor(database: string, finish: () => void) {
    this.#database = database;
    this.#finish = finish;
  }

  /** So many bytes were written to the log. */
  wrote(bytes: number): void {
    this.#grown += bytes;
    if (this.#grown < GROWN_BYTES || this.#isCopying || performance.now() < this.#restsUntil) return;
    this.#isCopying = true;
    this.#worker ??= this.#start();
    this.#worker.postMessage("copy", []);
  }

  /** Resolves when the thread is gone. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const ended = once(worker, "exit");
    worker.postMessage("close", []);
    await ended;
  }

  #start(): Worker {
    const entry = import.meta.url.endsWith(".ts") ? "./checkpoint-thread.ts" : "./checkpoint-thread.js";
    const worker = new Worker(new URL(entry, import.meta.url), {
      workerData: this.#database,
      name: "herald file broker: checkpoints",
    });
    worker.on("message", (message: "copied" | "failed") => this.#copied(message === "copied"));
    worker.on("error", () => this.#gone());
    worker.on("exit", () => this.#gone());
    return worker;
  }

  #copied(isDone: boolean): void {
    this.#isCopying = false;
    if (!isDone) this.#restsUntil = performance.now() + REST_MS;
    else {
      this.#grown = 0;
      this.#finish();
    }
  }

  #gone(): void {
    this.#worker = undefined;
    this.#isCopying = false;
    this.#restsUntil = performance.now() + REST_MS;
  }
}
