import { realpathSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { PublishResult } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { errorOf } from "./accepted.ts";
import { Outgoing, type Sent } from "./outgoing.ts";
import type { FileDelivery } from "./pack.ts";
import { unpackDeliveries } from "./pack.ts";
import type { Answer, Command, DeliveryBlock, ErrorShape, SettleBlock, ThreadOptions } from "./protocol.ts";

/** Requests that are on their way at most: what is worked on, and what gathers behind it for the next transaction. */
const MAX_IN_FLIGHT = 4;
/** So many calls of publish go over at once when the thread has nothing to do and a turn of it is this short. */
const EARLY_CALLS = 48;
const EARLY_TURN_MS = 4;

/** A subscription, as far as its engine knows it. */
export interface Receiver {
  readonly id: number;
  deliver(deliveries: FileDelivery[]): void;
  /** It did not want to wait, and there is nothing. */
  nothing(): void;
  fail(error: HeraldError): void;
}

type Message = Answer | "open" | "closed" | { readonly failed: ErrorShape };

/** The stores that are open in this process, by their real path. */
const engines = new Map<string, Promise<Engine>>();

/**
 * The store of one folder in this process: one thread, whatever the number of brokers and subscriptions, so that storage
 * never holds the event loop. What is asked in one turn of the loop goes over in one message.
 */
export class Engine {
  readonly leaseMs: number;
  readonly #path: string;
  readonly #options: string;
  readonly #worker: Worker;
  readonly #outgoing = new Outgoing();
  readonly #sent: Sent[] = [];
  readonly #receivers = new Map<number, Receiver>();
  readonly #answers: Answer[] = [];
  readonly #watchers = new Set<(stream: string) => void>();
  #clients = 0;
  #lastId = 0;
  #isPosting = false;
  /** How long the latest answer took to come. */
  #turnMs = Infinity;
  #postedAt = 0;
  #isPaced = false;
  #failure: HeraldError | undefined;
  #onOpen: ((error: HeraldError | undefined) => void) | undefined;
  #onClosed: (() => void) | undefined;
  #onIdle: (() => void) | undefined;

  /** The engine of a folder that exists: the one that is open, or a new one. Rejects with `CONFLICT` when it has other options. */
  static async acquire(directory: string, options: Omit<ThreadOptions, "directory">): Promise<Engine> {
    const path = realpathSync(directory);
    const full = { directory: path, ...options };
    for (;;) {
      const known = engines.get(path);
      if (known === undefined) break;
      const engine = await known.catch(() => undefined);
      if (engine === undefined || engines.get(path) !== known) continue;
      if (engine.#options !== JSON.stringify(full)) throw otherOptions(path);
      engine.#clients++;
      return engine;
    }
    const opening = new Engine(full).#open();
    engines.set(path, opening);
    opening.catch(() => engines.delete(path));
    return await opening;
  }

  private constructor(options: ThreadOptions) {
    this.leaseMs = options.leaseMs;
    this.#path = options.directory;
    this.#options = JSON.stringify(options);
    const entry = import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js";
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      workerData: options,
      name: "herald file broker",
    });
    this.#worker.on("message", (message: Message) => this.#receive(message));
    this.#worker.on("error", (error) => this.#fail(toHeraldError(error)));
    this.#worker.on("exit", () => this.#fail(threadEnded(this.#path)));
  }

  /** A number that nothing else of this engine has. */
  newId(): number {
    return ++this.#lastId;
  }

  /** Stores envelopes in their order. Never rejects: what fails, fails in its place. */
  publish(envelopes: readonly Envelope[], isDeduped: boolean): Promise<readonly PublishResult[]> {
    if (this.#failure !== undefined) {
      const error = this.#failure;
      return Promise.resolve(envelopes.map(() => ({ ok: false, error })));
    }
    this.#postSoon();
    const published = this.#outgoing.publish(envelopes, isDeduped);
    // On a fast disk the thread writes these while the rest is still being published; on a slow one every sync counts.
    if (this.#sent.length === 0 && this.#outgoing.calls >= EARLY_CALLS && this.#turnMs < EARLY_TURN_MS)
      this.#post();
    return published;
  }

  settle(block: SettleBlock): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#postSoon();
    return this.#outgoing.settle(block);
  }

  /** A subscription waits for up to `count` deliveries. */
  want(id: number, count: number, isImpatient: boolean): void {
    if (this.#failure !== undefined) {
      this.#receivers.get(id)?.fail(this.#failure);
      return;
    }
    this.#postSoon();
    this.#outgoing.want(id, count, isImpatient);
  }

  command(command: Command): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#postSoon();
    return this.#outgoing.command(command);
  }

  add(receiver: Receiver): void {
    this.#receivers.set(receiver.id, receiver);
    this.#hold();
  }

  remove(receiver: Receiver): void {
    this.#receivers.delete(receiver.id);
    this.#hold();
  }

  /** Calls back with event streams that have grown. Gives the function that ends it. */
  watchStreams(listener: (stream: string) => void): () => void {
    this.#watchers.add(listener);
    if (this.#watchers.size === 1) void this.#tellWatching();
    return () => {
      if (this.#watchers.delete(listener) && this.#watchers.size === 0) void this.#tellWatching();
      this.#hold();
    };
  }

  /** A broker leaves; the last one takes the thread with it. */
  async release(client: number): Promise<void> {
    const left = this.command({ op: "leave", client }).catch(() => undefined);
    await left;
    if (--this.#clients > 0) return;
    engines.delete(this.#path);
    if (this.#failure !== undefined) return;
    await this.#idle();
    const closed = new Promise<void>((resolve) => (this.#onClosed = resolve));
    this.#worker.ref();
    this.#worker.postMessage("close", []);
    await closed;
  }

  async #tellWatching(): Promise<void> {
    // A thread that is gone tells nothing more; whoever reads a stream then finds out.
    await this.command({ op: "streamWatch", isOn: this.#watchers.size > 0 }).catch(() => undefined);
  }

  async #open(): Promise<Engine> {
    const error = await new Promise<HeraldError | undefined>((resolve) => (this.#onOpen = resolve));
    this.#onOpen = undefined;
    if (error !== undefined) throw error;
    this.#clients++;
    this.#hold();
    return this;
  }

  #receive(message: Message): void {
    if (message === "open") this.#onOpen?.(undefined);
    else if (message === "closed") this.#onClosed?.();
    else if ("failed" in message) this.#onOpen?.(errorOf(message.failed));
    else if (this.#isPaced) this.#answers.push(message);
    else this.#take(message);
  }

  /** One answer with deliveries in a turn of the loop: others want it too. */
  #take(answer: Answer): void {
    this.#handle(answer);
    if (answer.deliveries === undefined) return;
    this.#isPaced = true;
    setImmediate(() => {
      this.#isPaced = false;
      while (!this.#isPaced) {
        const next = this.#answers.shift();
        if (next === undefined) return;
        this.#take(next);
      }
    });
  }

  #handle(answer: Answer): void {
    const sent = this.#sent.splice(0, answer.answered);
    if (sent.length > 0) {
      const now = performance.now();
      this.#turnMs = now - this.#postedAt;
      this.#postedAt = now;
    }
    this.#outgoing.answer(sent, answer);
    for (const id of answer.nothing) this.#receivers.get(id)?.nothing();
    if (answer.deliveries !== undefined) this.#deliver(answer.deliveries);
    for (const stream of answer.grown) for (const listener of this.#watchers) listener(stream);
    for (const { event, channel, count, error } of answer.notices) {
      if (event === "dataLost")
        emit("dataLost", () => ({ broker: "file", channel, group: null, count, error: errorOf(error) }));
      else emit("fault", () => ({ agent: null, where: "file broker", error: errorOf(error) }));
    }
    if (this.#outgoing.hasMore) this.#post();
    this.#hold();
    if (this.#sent.length === 0 && !this.#outgoing.hasMore) this.#onIdle?.();
  }

  #deliver(block: DeliveryBlock): void {
    try {
      const parts = { leaseMs: this.leaseMs, echo: this.#outgoing.echo };
      unpackDeliveries(block, parts, (id, deliveries) => this.#receivers.get(id)?.deliver(deliveries));
    } catch (error) {
      // Nothing may be taken for handed out that was not: their leases end.
      this.#fail(toHeraldError(error));
    }
  }

  #postSoon(): void {
    if (this.#isPosting) return;
    this.#isPosting = true;
    this.#hold();
    // After every promise that runs now: what they publish goes into the same message.
    queueMicrotask(() =>
      process.nextTick(() => {
        this.#isPosting = false;
        this.#post();
      }),
    );
  }

  #post(): void {
    while (this.#sent.length < MAX_IN_FLIGHT && this.#outgoing.hasMore && this.#failure === undefined) {
      const { request, transfer, sent } = this.#outgoing.take();
      if (this.#sent.length === 0) this.#postedAt = performance.now();
      this.#sent.push(sent);
      this.#worker.postMessage(request, transfer);
    }
    this.#hold();
  }

  /** A process that reads, or waits for an answer, goes on; one that has only opened a store may end. */
  #hold(): void {
    const isNeeded =
      this.#receivers.size + this.#watchers.size > 0 || this.#sent.length > 0 || this.#isPosting;
    if (isNeeded || this.#onClosed !== undefined) this.#worker.ref();
    else this.#worker.unref();
  }

  #idle(): Promise<void> {
    if (this.#sent.length === 0 && !this.#outgoing.hasMore) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  /** The thread is no more. */
  #fail(error: HeraldError): void {
    this.#failure ??= error;
    this.#onOpen?.(error);
    this.#onClosed?.();
    this.#onIdle?.();
    engines.delete(this.#path);
    this.#outgoing.fail(this.#sent.splice(0), this.#failure);
    this.#outgoing.failAll(this.#failure);
    for (const receiver of this.#receivers.values()) receiver.fail(this.#failure);
  }
}

function otherOptions(directory: string): HeraldError {
  const message = `This process has the store in '${directory}' open with other options: give every broker of one folder the same.`;
  return new HeraldError("CONFLICT", message, { retryable: false, details: { directory } });
}

function threadEnded(directory: string): HeraldError {
  const message = `The thread of the store in '${directory}' has ended: what was on its way may be stored. Make a new broker.`;
  return new HeraldError("CLOSED", message, { details: { directory } });
}
