import type { Readable, Writable } from "node:stream";
import { styleText } from "node:util";
import type { Failure } from "./failure.ts";
import { failureJson, failureLines } from "./failure.ts";
import { jsonText, printable, wrap } from "./text.ts";

/** What a colour says; the text beside it says the same in a word. */
export type State = "good" | "waiting" | "bad" | "faint";

/** How a command was asked to speak; the flags that every command has. */
export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** A stream that may be a terminal. */
export type TerminalStream = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** The streams that a command works on: those of the process, or others in their place. */
export interface Streams {
  readonly stdin: Readable;
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
}

const STYLES = { good: "green", waiting: "yellow", bad: "red", faint: "gray" } as const;
const DEFAULT_WIDTH = 80;
const DEFAULT_ROWS = 24;
/** Under the text of an error's lines. */
const HANGING = "       ";

/** What a command says: data goes to stdout, everything said about it to stderr. */
export class Output {
  readonly options: OutputOptions;
  readonly #stdout: TerminalStream;
  readonly #stderr: TerminalStream;
  readonly #onClosed: (fault: Error | undefined) => void;
  #closed = false;
  #fault: Error | undefined;
  /** What stands on stderr and is drawn again: it is taken away before a line is written. */
  #live: readonly string[] = [];

  /** `onClosed`: stdout takes nothing more, because its reader has gone or, with a fault, because it cannot be written. */
  constructor(options: OutputOptions, streams: Streams, onClosed: (fault: Error | undefined) => void) {
    this.options = options;
    this.#stdout = streams.stdout;
    this.#stderr = streams.stderr;
    this.#onClosed = onClosed;
    this.#stdout.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    // Where nobody reads what is said about the data, the data is still wanted.
    this.#stderr.on("error", () => {});
  }

  /** True when the reader of stdout has gone: what is written is dropped, and that is no fault. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Why stdout could not be written, if not because its reader went. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /** Columns of the terminal; 80 where there is none and COLUMNS does not say. */
  get width(): number {
    const told = Number(process.env["COLUMNS"]);
    return this.#stdout.columns || (Number.isInteger(told) && told > 0 ? told : DEFAULT_WIDTH);
  }

  /** Columns of the terminal that stderr goes to; without end where it goes elsewhere, so that its lines stay whole. */
  get errorWidth(): number {
    return this.#stderr.isTTY ? this.#stderr.columns || DEFAULT_WIDTH : Infinity;
  }

  /** Lines of the terminal that stderr goes to. */
  get errorRows(): number {
    return this.#stderr.rows || DEFAULT_ROWS;
  }

  /** True where stderr can be drawn over. */
  get canDraw(): boolean {
    return (
      this.#stderr.isTTY === true &&
      process.env["TERM"] !== "dumb" &&
      !this.options.json &&
      !this.options.quiet
    );
  }

  /** One line of data for people; the text is printable already. */
  line(text: string): void {
    this.#write(`${text}\n`);
  }

  /** Lines of data for people. */
  lines(texts: readonly string[]): void {
    for (const text of texts) this.line(text);
  }

  /** A sentence for people, in as many lines as it needs. */
  sentence(text: string): void {
    this.lines(wrap(printable(text), this.width));
  }

  /** One line of data for programs. */
  json(value: unknown): void {
    this.#write(`${jsonText(value)}\n`);
  }

  /** Resolves when stdout takes more. */
  ready(): Promise<void> {
    if (this.#closed || !this.#stdout.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stdout.once("drain", resolve);
      this.#stdout.once("close", resolve);
    });
  }

  /** Something said about the data: a remark on stderr, unless it is to be quiet. */
  note(text: string): void {
    if (this.options.quiet) return;
    if (this.options.json) this.stderr(jsonText({ note: text }));
    else this.stderr(wrap(printable(text), this.errorWidth).join("\n"));
  }

  /** A line on stderr, whatever was asked for; printable already. */
  stderr(text: string): void {
    const live = this.#live;
    this.#erase();
    this.#stderr.write(`${text}\n`);
    this.draw(live);
  }

  /** Shows these lines at the end of stderr, in the place of those shown before. */
  draw(lines: readonly string[]): void {
    this.#erase();
    if (lines.length > 0) this.#stderr.write(`${lines.join("\n")}\n`);
    this.#live = lines;
  }

  /** An error: what, why and what to do for people, one line for programs. */
  failure(failure: Failure): void {
    if (this.options.json) {
      this.stderr(jsonText(failureJson(failure)));
      return;
    }
    const [what, why, fix] = failureLines(failure);
    const lines = [
      ...wrap(`error: ${what}`, this.errorWidth, "", HANGING),
      ...wrap(`why: ${why}`, this.errorWidth, "  ", HANGING),
      ...wrap(`fix: ${fix}`, this.errorWidth, "  ", HANGING),
    ];
    this.stderr(lines.join("\n").replace("error:", this.paintError("bad", "error:")));
  }

  /** Colours a text of stdout where it shows colours and they are wanted: NO_COLOR, FORCE_COLOR and TERM=dumb decide. */
  paint(state: State, text: string): string {
    return styleText(STYLES[state], text, { stream: this.#stdout });
  }

  /** Colours a text of stderr, as {@link paint} does. */
  paintError(state: State, text: string): string {
    return styleText(STYLES[state], text, { stream: this.#stderr });
  }

  /** Resolves when what was written has left the process. */
  async flush(): Promise<void> {
    await Promise.all([this.#stdout, this.#stderr].map(flushed));
  }

  #erase(): void {
    if (this.#live.length === 0) return;
    // To the beginning of the first of them (a terminal may have echoed ^C), and clear from there.
    this.#stderr.write(`\r\u001b[${this.#live.length}A\u001b[0J`);
    this.#live = [];
  }

  #write(text: string): void {
    if (this.#closed) return;
    const live = this.#live;
    if (this.#stdout.isTTY) this.#erase();
    this.#stdout.write(text);
    if (live.length > 0 && this.#stdout.isTTY) this.draw(live);
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#closed) return;
    this.#closed = true;
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") this.#fault = error;
    this.#onClosed(this.#fault);
  }
}

function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
