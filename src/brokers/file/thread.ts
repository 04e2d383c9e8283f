import { watch, type FSWatcher } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from "node:worker_threads";
import { isHeraldError, toHeraldError } from "../../core/errors.ts";
import { Checkpointer } from "./checkpointer.ts";
import type { Answer, Request, ThreadOptions } from "./protocol.ts";
import { BELL_NAME } from "./storage/bell.ts";
import { shapeOf } from "./sql/shape.ts";
import { Store } from "./sql/store.ts";
import { machineTime } from "./sql/time.ts";

/** How soon after something else than the bell has moved in the folder its commit can be seen. */
const SECOND_LOOK_MS = 2;
const HOUSE_MS = 250;
/** Requests that one transaction takes at most. */
const MAX_REQUESTS = 8;
/** Pages that a commit writes whatever is in it: counters, cursors, the ends of tables and indexes. */
const COMMIT_BYTES = 6 * 4096;
/** What is written with an event beside its body: its hash, its place. */
const EVENT_BYTES = 80;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Runs a store for the thread that started this one: takes what is asked, looks at what others write. */
class Loop {
  readonly #port: MessagePort;
  readonly #store: Store;
  readonly #checkpointer: Checkpointer;
  readonly #ticking: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #due: NodeJS.Timeout | undefined;
  #second: NodeJS.Timeout | undefined;
  #houseAt = 0;
  #isTurning = false;

  constructor(port: MessagePort, options: ThreadOptions) {
    this.#port = port;
    this.#store = new Store(options, machineTime);
    const { database } = this.#store;
    this.#checkpointer = new Checkpointer(database.file, () => database.checkpoint());
    this.#watch(options.directory);
    this.#ticking = setInterval(() => this.#tick(), Math.min(options.pollMs, HOUSE_MS));
    port.on("message", (message: Request | "close") => this.#receive(message));
  }

  #receive(message: Request | "close"): void {
    const requests: Request[] = [];
    for (let next: Request | "close" | undefined = message; next !== undefined; next = this.#next(requests)) {
      if (next === "close") {
        if (requests.length > 0) this.#turn(requests);
        void this.#close();
        return;
      }
      requests.push(next);
    }
    this.#turn(requests);
  }

  #turn(requests: readonly Request[]): void {
    this.#post(this.#store.turn(requests));
    this.#checkpointer.wrote(sizeOf(requests));
  }

  /** What else has come meanwhile goes into the same transaction. */
  #next(requests: readonly Request[]): Request | "close" | undefined {
    if (requests.length >= MAX_REQUESTS) return undefined;
    return receiveMessageOnPort(this.#port)?.message as Request | "close" | undefined;
  }

  /** One timer for everything that is looked at from time to time: an idle process costs what its timers wake it for. */
  #tick(): void {
    const now = performance.now();
    if (now < this.#houseAt) return this.#look();
    this.#houseAt = now + HOUSE_MS;
    this.#post(this.#store.keepHouse() ?? this.#store.look());
  }

  #look(): void {
    this.#post(this.#store.look());
  }

  #post(answer: Answer | undefined): void {
    if (answer !== undefined && (answer.answered > 0 || isWorth(answer))) {
      const bodies = answer.deliveries?.bodies.buffer;
      this.#port.postMessage(answer, bodies === undefined ? [] : [bodies]);
    }
    if (this.#store.isUnfinished) this.#turnSoon();
    this.#arm();
  }

  #turnSoon(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      if (this.#store.isUnfinished) this.#post(this.#store.turn([]));
    });
  }

  #arm(): void {
    clearTimeout(this.#due);
    const { nextMs } = this.#store;
    if (nextMs !== undefined)
      this.#due = setTimeout(() => this.#look(), Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(nextMs))));
  }

  #watch(directory: string): void {
    try {
      this.#watcher = watch(directory, (_event, name) => {
        if (name === BELL_NAME) this.#look();
        // Another tool rings no bell: what it writes can be seen a moment later.
        else this.#second ??= setTimeout(() => this.#lookAgain(), SECOND_LOOK_MS);
      });
      // Without a watch the poll behind it must do.
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      this.#watcher = undefined;
    }
  }

  #lookAgain(): void {
    this.#second = undefined;
    this.#look();
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticking);
    clearTimeout(this.#due);
    clearTimeout(this.#second);
    this.#watcher?.close();
    await this.#checkpointer.close();
    this.#store.close();
    this.#port.postMessage("closed", []);
    this.#port.close();
  }
}

/** About what a turn adds to the log: its messages, and pages that are written with every commit. */
function sizeOf(requests: readonly Request[]): number {
  let bytes = COMMIT_BYTES;
  for (const { publishes } of requests)
    for (const { heads, bodies } of publishes) bytes += heads.length + bodies.byteLength;
  for (const { commands } of requests)
    for (const { command } of commands)
      if (command.op === "streamAppend")
        for (const body of command.bodies) bytes += body.length + EVENT_BYTES;
  return bytes;
}

function isWorth({ results, deliveries, nothing, notices, grown }: Answer): boolean {
  return results.length + nothing.length + notices.length + grown.length > 0 || deliveries !== undefined;
}

const port = parentPort as MessagePort;
try {
  void new Loop(port, workerData as ThreadOptions);
  port.postMessage("open");
} catch (error) {
  port.postMessage({ failed: shapeOf(isHeraldError(error) ? error : toHeraldError(error)) });
  port.close();
}
