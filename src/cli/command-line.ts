import { EXIT } from "./exit-codes.ts";
import { failureOf, type Failure } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";
import { Output, type OutputOptions, type Streams } from "./output.ts";
import type { Session } from "./session.ts";
import { printable } from "./text.ts";

/** One call of the command line, on the streams of the process or on others in their place. */
export class CommandLine {
  readonly #argv: readonly string[];
  readonly #session: Session;

  /** `argv`: the words after the program's name. */
  constructor(argv: readonly string[], streams: Streams) {
    this.#argv = argv;
    const interrupt = new Interrupt();
    const output = new Output(outputOptions(argv), streams, (fault) =>
      interrupt.end(fault === undefined ? EXIT.done : EXIT.failed),
    );
    const logger = async () => (await import("./log.ts")).createLogger(output);
    this.#session = { output, interrupt, logger, stdin: streams.stdin };
  }

  /** Runs the command; resolves to the exit code once everything is written. Never rejects. */
  async run(): Promise<number> {
    const { output, interrupt } = this.#session;
    const exit = await this.#execute();
    // A disk that is full says so when everything has been written.
    await output.flush();
    if (output.fault !== undefined) this.#tell(unwritten(output.fault), output.fault);
    await output.flush();
    return interrupt.exit ?? exit;
  }

  /** An error that nobody waited for: it is told, and the command ends with it. */
  endWith(error: unknown): void {
    this.#tell(stray(error), error);
    // Whatever threw is in a state that nobody knows: what runs may end, nothing new begins.
    this.#session.interrupt.end(EXIT.failed);
  }

  async #execute(): Promise<number> {
    try {
      const { execute } = await import("./program.ts");
      return await execute(this.#argv, this.#session);
    } catch (error) {
      const failure = failureOf(error);
      // What was interrupted ends with errors that only say so.
      const isEcho = this.#session.interrupt.signal.aborted && failure.code === "CANCELLED";
      if (!isEcho) this.#tell(failure, error);
      return failure.exit;
    }
  }

  #tell(failure: Failure, error: unknown): void {
    const { output } = this.#session;
    output.failure(failure);
    const wanted = output.options.verbose && !output.options.json;
    if (wanted && error instanceof Error) output.stderr(stackText(error));
  }
}

/** Flags that every command has. They are read before the command line is, so that its own errors are told as asked. */
function outputOptions(argv: readonly string[]): OutputOptions {
  const end = argv.indexOf("--");
  const flags = end < 0 ? argv : argv.slice(0, end);
  // Short flags may stand together, as in -qm a.yaml.
  const short = flags.map((flag) => /^-([qv]+)/.exec(flag)?.[1] ?? "").join("");
  return {
    json: flags.includes("--json"),
    quiet: flags.includes("--quiet") || short.includes("q"),
    verbose: flags.includes("--verbose") || short.includes("v"),
  };
}

function stray(error: unknown): Failure {
  return {
    ...failureOf(error),
    exit: EXIT.failed,
    why: "An agent's code threw it outside of any handler.",
    hint: "Catch it there; -v shows where it was thrown.",
  };
}

function unwritten(error: Error): Failure {
  return {
    ...failureOf(error),
    exit: EXIT.failed,
    why: "The output could not be written.",
    hint: "Look at the file or the disk that it goes to.",
  };
}

function stackText(error: Error): string {
  return (error.stack ?? "").split("\n").map(printable).join("\n");
}
