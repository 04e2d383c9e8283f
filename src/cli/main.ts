#!/usr/bin/env node
import { EXIT } from "./exit-codes.ts";
import { failureOf, type Failure } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";
import { Output, type OutputOptions } from "./output.ts";
import type { Session } from "./session.ts";
import { printable } from "./text.ts";

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

/** Runs the command line; resolves to the exit code. Never rejects. */
async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new Interrupt();
  const output = new Output(outputOptions(argv), (fault) =>
    interrupt.end(fault === undefined ? EXIT.done : EXIT.failed),
  );
  // Waiting for a message keeps no process alive; a command that waits must.
  setInterval(() => {}, 2 ** 30);
  const session: Session = {
    output,
    interrupt,
    logger: async () => (await import("./log.ts")).createLogger(output),
  };
  process.on("uncaughtException", (error) => {
    tell(stray(error), output, error);
    // Whatever threw is in a state that nobody knows: what runs may end, nothing new begins.
    interrupt.end(EXIT.failed);
  });
  let exit: number;
  try {
    const { execute } = await import("./program.ts");
    exit = await execute(argv, session);
  } catch (error) {
    const failure = failureOf(error);
    exit = failure.exit;
    // What was interrupted ends with errors that only say so.
    if (!interrupt.signal.aborted || failure.code !== "CANCELLED") tell(failure, output, error);
  }
  // A disk that is full says so when everything has been written.
  await output.flush();
  if (output.fault !== undefined) tell(unwritten(output.fault), output, output.fault);
  await output.flush();
  return interrupt.exit ?? exit;
}

function tell(failure: Failure, output: Output, error: unknown): void {
  output.failure(failure);
  if (output.options.verbose && !output.options.json && error instanceof Error)
    output.stderr(stackText(error));
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

// An agent's module may hold timers and sockets that keep a process alive: when the command is done, so is the process.
process.exit(await main(process.argv.slice(2)));
