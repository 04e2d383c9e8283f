import { PassThrough, Readable } from "node:stream";
import { WriteStream } from "node:tty";
import { CommandLine } from "../../../src/cli/command-line.ts";
import type { TerminalStream } from "../../../src/cli/output.ts";

/** What a call of the command line left behind. */
export interface Called {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The terminal or pipe that a call works on. */
export interface CallOptions {
  readonly stdin?: string;
  /** Given: stdout and stderr are terminals of so many columns. */
  readonly columns?: number;
}

/** A stream that keeps what is written to it, a terminal when it has columns. */
export class Captured extends PassThrough {
  readonly isTTY: boolean;
  readonly columns: number | undefined;
  #text = "";

  constructor(columns?: number) {
    super();
    this.isTTY = columns !== undefined;
    this.columns = columns;
    this.on("data", (chunk: Buffer) => (this.#text += chunk.toString()));
  }

  /** As a terminal's stream answers it: the environment decides. */
  getColorDepth(env?: NodeJS.ProcessEnv): number {
    return WriteStream.prototype.getColorDepth.call(this, env);
  }

  get text(): string {
    return this.#text;
  }

  /** The same stream, as a command sees it. */
  get terminal(): TerminalStream {
    return this as unknown as TerminalStream;
  }
}

/** Calls the command line in this process, with streams of its own. */
export async function call(
  argv: readonly string[],
  { stdin = "", columns }: CallOptions = {},
): Promise<Called> {
  process.env["HERALD_URL"] ??= "memory:";
  const [stdout, stderr] = [new Captured(columns), new Captured(columns)];
  const streams = {
    stdin: Readable.from([Buffer.from(stdin)]),
    stdout: stdout.terminal,
    stderr: stderr.terminal,
  };
  const exit = await new CommandLine(argv, streams).run();
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

/** Every line of a text as the JSON that it is. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
