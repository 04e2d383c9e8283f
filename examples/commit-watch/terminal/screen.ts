import { stripVTControlCharacters } from "node:util";

/** Where the live account goes. */
export interface Screen {
  /** Something happened: one line that stays. */
  say(line: string): void;
  /** How things stand now: as lines of a width, or in brief. They are made only when they are going to be shown. */
  show(lines: (width: number) => string[], brief: () => string): void;
  /** Takes what is drawn in place away, so that other text can follow. */
  end(): void;
}

const REDRAW_MS = 100;
const FIRST_BRIEF_MS = 100;
const MAX_BRIEF_MS = 1000;

/** In place on a terminal, plain lines elsewhere. */
export function screenFor(stream: NodeJS.WriteStream): Screen {
  return stream.isTTY ? new LiveScreen(stream) : new PlainScreen(stream);
}

/** Says everything on a stream and shows nothing: for output that a program reads. */
export function quietScreen(stream: NodeJS.WritableStream): Screen {
  return { say: (line) => void stream.write(`${line}\n`), show: () => {}, end: () => {} };
}

/** A block of lines that is drawn over itself, at most ten times a second; what is said scrolls by above it. */
class LiveScreen implements Screen {
  readonly #stream: NodeJS.WriteStream;
  #said: string[] = [];
  #block: string[] = [];
  #drawnAt = -Infinity;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  say(line: string): void {
    this.#said.push(line);
  }

  show(lines: (width: number) => string[]): void {
    if (performance.now() - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = performance.now();
    this.#draw(lines(this.#stream.columns - 1));
  }

  end(): void {
    this.#draw([]);
  }

  /** One write for all, so that nothing flickers. */
  #draw(block: readonly string[]): void {
    const up = this.#block.length === 0 ? "" : `\u001b[${this.#block.length}A`;
    // A line that the terminal would wrap could not be drawn over.
    const fitting = block.slice(0, this.#stream.rows - 1).map((line) => fit(line, this.#stream.columns));
    const text = [...this.#said, ...fitting].map((line) => `${line}\n`).join("");
    this.#stream.write(`${up}\r\u001b[J${text}`);
    this.#block = fitting;
    this.#said = [];
  }
}

/** Often at first, so that a short run is seen at work, then a line a second; and only when there is something new to say. */
class PlainScreen implements Screen {
  readonly #stream: NodeJS.WritableStream;
  #saidAt = performance.now();
  #gapMs = FIRST_BRIEF_MS;
  #last = "";

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  say(line: string): void {
    this.#stream.write(`${line}\n`);
  }

  show(_lines: (width: number) => string[], brief: () => string): void {
    if (performance.now() - this.#saidAt < this.#gapMs) return;
    this.#saidAt = performance.now();
    this.#gapMs = Math.min(MAX_BRIEF_MS, this.#gapMs * 1.5);
    const line = brief();
    if (line !== this.#last) this.say(line);
    this.#last = line;
  }

  end(): void {}
}

function fit(line: string, columns: number): string {
  const bare = stripVTControlCharacters(line);
  // A line that has to be cut loses its colours rather than their end.
  return bare.length < columns ? line : bare.slice(0, columns - 1);
}
