import { isHeraldError } from "../../src/index.ts";
import { optionsOf, UsageError, USAGE, type Options } from "./options.ts";
import { runExample } from "./run.ts";
import { summaryText, type Summary } from "./summary.ts";
import { quietScreen, screenFor } from "./terminal/screen.ts";

const EXIT = { consumed: 0, failed: 1, interrupted: 130, noStorage: 73 } as const;

process.exitCode = await main(process.argv.slice(2));

/** Resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  // Whoever reads may have seen enough: `| head` is no failure.
  process.stdout.on("error", () => process.exit(0));
  try {
    const options = optionsOf(args);
    if (!options.help) return print(await run(options), options);
    process.stdout.write(USAGE);
    return 0;
  } catch (error) {
    return complain(error);
  }
}

/** What can be said in a sentence: a wrong call, a disk that is full or not to be trusted. Throws what is a bug. */
function complain(error: unknown): number {
  const isStorage = isHeraldError(error) && /STORAGE/.test(error.code);
  if (!isStorage && !(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return isStorage ? EXIT.noStorage : (error as UsageError).exitCode;
}

/** The first Ctrl-C drains, the second ends at once. */
function run(options: Options): Promise<Summary> {
  const interruption = new AbortController();
  const interrupt = (): void => {
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort();
  };
  // A disk that fills up fails whoever writes to it, also where nobody waits for the outcome.
  process.on("unhandledRejection", (error) => process.exit(complain(error)));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const screen = options.json ? quietScreen(process.stderr) : screenFor(process.stdout);
  return runExample(options, screen, interruption.signal);
}

function print(summary: Summary, { json }: Options): number {
  process.stdout.write(json ? `${JSON.stringify(summary)}\n` : summaryText(summary));
  if (summary.failure !== null)
    process.stderr.write(`The history could not be read to its end: ${summary.failure}\n`);
  return EXIT[summary.state];
}
