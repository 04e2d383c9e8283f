import { Worker } from "node:worker_threads";
import { describeThrown } from "../../core/errors.ts";
import type { Answer, Language, Request, Trouble } from "./protocol.ts";

/** One expression that was read. */
type Run = (payload: unknown, message: unknown) => unknown;
/** Reads an expression; each evaluation may take so many milliseconds. Throws when it cannot be read. */
type Reader = (expression: string, timeoutMs: number) => Run;

/** Calls within calls of one JSONata expression. */
const MAX_STACK = 500;
const MAX_KEPT = 1000;

const readers = new Map<Language, Promise<Reader>>();
const kept = new Map<string, Run>();

const LOADERS: Readonly<Record<Language, () => Promise<Reader>>> = {
  jsonata: async () => {
    const { default: jsonata } = await import("jsonata");
    return (expression, timeoutMs) => {
      const read = jsonata(expression, { timeout: timeoutMs, stack: MAX_STACK });
      return (payload, message) => read.evaluate(payload, { message });
    };
  },
  jmespath: async () => {
    const { compile, TreeInterpreter } = await import("@jmespath-community/jmespath");
    return (expression) => {
      const tree = compile(expression);
      return (payload) => TreeInterpreter.search(tree, payload as never);
    };
  },
};

class Failure extends Error {
  readonly trouble: Trouble;

  constructor(trouble: Trouble, message: string) {
    super(message);
    this.trouble = trouble;
  }
}

function readerOf(language: Language): Promise<Reader> {
  let reader = readers.get(language);
  if (reader === undefined) readers.set(language, (reader = LOADERS[language]()));
  return reader;
}

async function runOf({ language, expression, timeoutMs }: Request): Promise<Run> {
  const key = `${language} ${timeoutMs} ${expression}`;
  const known = kept.get(key);
  if (known !== undefined) return known;
  const reader = await readerOf(language).catch((error: unknown) => {
    throw new Failure("package", describeThrown(error));
  });
  try {
    const run = reader(expression, timeoutMs);
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(key, run);
    return run;
  } catch (error) {
    throw new Failure("expression", describeThrown(error));
  }
}

/** JSONata's functions are objects of the library's own. */
function refuseFunctions(_key: string, value: unknown): unknown {
  const { _jsonata_function: isBuiltIn, _jsonata_lambda: isLambda } = (value ?? {}) as Record<
    string,
    unknown
  >;
  if (isBuiltIn !== true && isLambda !== true) return value;
  throw new Failure("error", "it gives a function");
}

async function answer(request: Request): Promise<Answer> {
  try {
    const run = await runOf(request);
    const { input, maxBytes } = request;
    if (input === undefined) return { ok: true, json: "null" };
    const { payload, message } = JSON.parse(input) as {
      readonly payload: unknown;
      readonly message: unknown;
    };
    const json = JSON.stringify(await run(payload, message), refuseFunctions) as string | undefined;
    if (json === undefined) throw new Failure("error", "it gives nothing that could be sent");
    if (Buffer.byteLength(json) > maxBytes)
      throw new Failure("size", `its result has more than ${maxBytes} bytes`);
    return { ok: true, json };
  } catch (error) {
    const trouble = error instanceof Failure ? error.trouble : "error";
    return { ok: false, trouble, message: describeThrown(error).slice(0, 500) };
  }
}

// The program may be killed while an expression runs that never gives this thread back: another one sees it.
const WATCH = `const { ppid } = process; setInterval(() => process.ppid === ppid || process.kill(process.pid, "SIGKILL"), 1000);`;
new Worker(WATCH, { eval: true, name: "herald watch" }).unref();
process.on("disconnect", () => process.exit());

// What was in use before is loaded again before the first request: a process that replaces another loses no time of it.
await Promise.allSettled((process.argv.slice(2) as Language[]).map(readerOf));
let last: Promise<unknown> = Promise.resolve();
process.on("message", (request: Request) => {
  last = last.then(async () => process.send?.(await answer(request)));
});
process.send?.("ready");
