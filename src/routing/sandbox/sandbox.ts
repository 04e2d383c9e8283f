import { Worker } from "node:worker_threads";
import { describeThrown, HeraldError } from "../../core/errors.ts";
import { PACKAGES, type Answer, type Language, type Request, type Trouble } from "./protocol.ts";

/** What one evaluation may take. */
export interface EvaluationLimits {
  /** Milliseconds of one evaluation, waiting for others not counted. */
  readonly timeoutMs: number;
  /** What it may give, as JSON, bytes. */
  readonly maxBytes: number;
}

interface Job {
  readonly request: Request;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: HeraldError) => void;
}

/** Memory of the thread, MiB: an expression that wants more ends it. */
const HEAP_MB = 96;
const STACK_MB = 4;
const MAX_WAITING = 100_000;

/** How long reading an expression may take, its library being loaded included. */
const CHECK = { timeoutMs: 10_000, maxBytes: 16 };

/**
 * Evaluates JSONata and JMESPath in one thread of this process, one expression at a time. The thread is ended, and replaced,
 * when an evaluation takes longer or more memory than it may, whatever it is doing: no expression and no message holds up
 * the event loop. Nothing of the program is reachable from there; messages go in and results come out as JSON.
 */
export class Sandbox {
  readonly #languages = new Set<Language>();
  /** What was asked and not answered; the thread works on the first. */
  #jobs: Job[] = [];
  #worker: Worker | undefined;
  #isReady = false;
  #timer: NodeJS.Timeout | undefined;

  /** Resolves when the expression can be read. Rejects with `INVALID_ARGUMENT`, or `UNSUPPORTED` naming the package to add. */
  async check(language: Language, expression: string): Promise<void> {
    await this.#ask({ language, expression, ...CHECK });
  }

  /**
   * The result of an expression over a payload; JSONata finds the rest of the message in `$message`. Rejects with
   * `TRANSFORM_FAILED`, whose details say why (`reason`: `error`, `time`, `memory`, `size`), `UNSERIALIZABLE`, `OVERLOADED`.
   */
  run(
    language: Language,
    expression: string,
    over: { readonly payload: unknown; readonly message: unknown } & EvaluationLimits,
  ): Promise<unknown> {
    const { payload, message, timeoutMs, maxBytes } = over;
    let input: string;
    try {
      // At once: what its author makes of the payload afterwards changes nothing.
      input = JSON.stringify({ payload, message });
    } catch (cause) {
      const text = `The payload cannot be handed to a transform: ${describeThrown(cause)}`;
      return Promise.reject(new HeraldError("UNSERIALIZABLE", text, { cause }));
    }
    return this.#ask({ language, expression, input, timeoutMs, maxBytes });
  }

  #ask(request: Request): Promise<unknown> {
    if (this.#jobs.length >= MAX_WAITING) {
      const message = `${MAX_WAITING} transforms wait already: await publish(), or transform less.`;
      return Promise.reject(new HeraldError("OVERLOADED", message, { details: { maxWaiting: MAX_WAITING } }));
    }
    this.#languages.add(request.language);
    return new Promise((resolve, reject) => {
      const worker = (this.#worker ??= this.#start());
      worker.postMessage(request, []);
      worker.ref();
      this.#jobs.push({ request, resolve, reject });
      if (this.#jobs.length === 1) this.#watch();
    });
  }

  #start(): Worker {
    const entry = import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js";
    const worker = new Worker(new URL(entry, import.meta.url), {
      workerData: [...this.#languages],
      name: "herald transforms",
      resourceLimits: {
        maxOldGenerationSizeMb: HEAP_MB,
        maxYoungGenerationSizeMb: 16,
        stackSizeMb: STACK_MB,
      },
    });
    this.#isReady = false;
    worker.on("message", (answer: Answer | "ready") => {
      if (worker !== this.#worker) return;
      if (answer === "ready") this.#isReady = true;
      else this.#answered(answer);
      this.#watch();
    });
    worker.on("error", (error) => this.#died(worker, error));
    worker.on("exit", () => this.#died(worker, undefined));
    return worker;
  }

  /** The time of the first one begins. */
  #watch(): void {
    clearTimeout(this.#timer);
    const [first] = this.#jobs;
    if (first === undefined) this.#worker?.unref();
    else if (this.#isReady) this.#timer = setTimeout(() => this.#tooLong(first), first.request.timeoutMs);
  }

  #answered(answer: Answer): void {
    const job = this.#jobs.shift();
    if (job === undefined) return;
    if (answer.ok) job.resolve(JSON.parse(answer.json));
    else job.reject(failureOf(job.request, answer.trouble, answer.message));
  }

  #tooLong(first: Job): void {
    const worker = this.#worker;
    const { timeoutMs } = first.request;
    this.#replace(failureOf(first.request, "time", `it took longer than ${timeoutMs} ms`));
    void worker?.terminate();
  }

  #died(worker: Worker, error: unknown): void {
    if (worker !== this.#worker) return;
    const [first] = this.#jobs;
    if (first === undefined) this.#worker = undefined;
    else if ((error as { code?: string } | undefined)?.code === "ERR_WORKER_OUT_OF_MEMORY")
      this.#replace(failureOf(first.request, "memory", `it wanted more than ${HEAP_MB} MiB of memory`));
    else this.#replace(failureOf(first.request, "error", describeThrown(error ?? "its thread ended")));
  }

  /** The first one failed with its thread; the others go to a new one. */
  #replace(error: HeraldError): void {
    clearTimeout(this.#timer);
    this.#jobs.shift()?.reject(error);
    this.#worker = undefined;
    if (this.#jobs.length === 0) return;
    this.#worker = this.#start();
    for (const { request } of this.#jobs) this.#worker.postMessage(request, []);
  }
}

function failureOf(request: Request, trouble: Trouble | "time" | "memory", what: string): HeraldError {
  const { language, expression } = request;
  const name = language === "jsonata" ? "JSONata" : "JMESPath";
  if (trouble === "package") {
    const missing = PACKAGES[language];
    const message = `${name} needs the package '${missing}': add it with npm install ${missing}.`;
    return new HeraldError("UNSUPPORTED", message, { details: { package: missing, why: what } });
  }
  if (trouble === "expression") {
    const message = `The ${name} expression cannot be read: ${what.replace(/\.$/, "")}.`;
    return new HeraldError("INVALID_ARGUMENT", message, {
      details: { expression: expression.slice(0, 200) },
    });
  }
  const message = `The ${name} expression gave no result: ${what.replace(/\.$/, "")}.`;
  return new HeraldError("TRANSFORM_FAILED", message, { details: { reason: trouble, language } });
}

/** One for the process: its thread is started by the first expression. */
export const sandbox = new Sandbox();
