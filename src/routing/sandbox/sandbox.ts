import { fork, type ChildProcess } from "node:child_process";
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

/** Memory of the process, MiB: an expression that wants more ends it. */
const HEAP_MB = 96;
const MAX_WAITING = 100_000;

/** How long reading an expression may take, its library being loaded included. */
const CHECK = { timeoutMs: 10_000, maxBytes: 16 };

/** V8 aborts a process whose heap is full; the signal is another one on other systems. */
const OUT_OF_MEMORY: ReadonlySet<string | number | null> = new Set(["SIGABRT", "SIGTRAP", "SIGILL", 134]);

/**
 * Evaluates JSONata and JMESPath in a process of their own, one expression at a time. It is killed, and replaced, when an
 * evaluation takes longer or more memory than it may, whatever it is doing: no expression and no message holds up the event
 * loop or ends the program. A thread would not do: V8 aborts the whole process when the heap of a thread jumps past its
 * limit. Nothing of the program is reachable from there; messages go in and results come out as JSON.
 */
export class Sandbox {
  readonly #languages = new Set<Language>();
  /** What was asked and not answered; the process works on the first. */
  #jobs: Job[] = [];
  #child: ChildProcess | undefined;
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
      const child = (this.#child ??= this.#start());
      child.send(request);
      hold(child, true);
      this.#jobs.push({ request, resolve, reject });
      if (this.#jobs.length === 1) this.#watch();
    });
  }

  #start(): ChildProcess {
    const entry = import.meta.url.endsWith(".ts") ? "./process.ts" : "./process.js";
    const child = fork(new URL(entry, import.meta.url), [...this.#languages], {
      execArgv: [`--max-old-space-size=${HEAP_MB}`, "--max-semi-space-size=8"],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#isReady = false;
    child.on("message", (answer: Answer | "ready") => {
      if (child !== this.#child) return;
      if (answer === "ready") this.#isReady = true;
      else this.#answered(answer);
      this.#watch();
    });
    child.on("error", (error) => {
      // Of one that was started "exit" says more, and always comes.
      if (child.pid === undefined) this.#ended(child, "error", describeThrown(error));
    });
    child.on("exit", (code, signal) => {
      const end = signal ?? code;
      if (OUT_OF_MEMORY.has(end))
        this.#ended(child, "memory", `it wanted more than ${HEAP_MB} MiB of memory`);
      else this.#ended(child, "error", `its process ended (${end})`);
    });
    return child;
  }

  /** The time of the first one begins. */
  #watch(): void {
    clearTimeout(this.#timer);
    const [first] = this.#jobs;
    if (first === undefined) hold(this.#child, false);
    else if (this.#isReady) this.#timer = setTimeout(() => this.#tooLong(first), first.request.timeoutMs);
  }

  #answered(answer: Answer): void {
    const job = this.#jobs.shift();
    if (job === undefined) return;
    if (answer.ok) job.resolve(JSON.parse(answer.json));
    else job.reject(failureOf(job.request, answer.trouble, answer.message));
  }

  #tooLong(first: Job): void {
    const child = this.#child;
    const { timeoutMs } = first.request;
    this.#replace(failureOf(first.request, "time", `it took longer than ${timeoutMs} ms`));
    child?.kill("SIGKILL");
  }

  #ended(child: ChildProcess, trouble: "memory" | "error", what: string): void {
    if (child !== this.#child) return;
    const [first] = this.#jobs;
    if (first === undefined) this.#child = undefined;
    else this.#replace(failureOf(first.request, trouble, what));
  }

  /** The first one failed with its process; the others go to a new one. */
  #replace(error: HeraldError): void {
    clearTimeout(this.#timer);
    this.#jobs.shift()?.reject(error);
    this.#child = undefined;
    if (this.#jobs.length === 0) return;
    this.#child = this.#start();
    for (const { request } of this.#jobs) this.#child.send(request);
  }
}

/** While something is asked the process of this program stays alive for the answer, and not longer. */
function hold(child: ChildProcess | undefined, isNeeded: boolean): void {
  if (isNeeded) child?.ref();
  else child?.unref();
  if (isNeeded) child?.channel?.ref();
  else child?.channel?.unref();
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

/** One for the program: its process is started by the first expression. */
export const sandbox = new Sandbox();
