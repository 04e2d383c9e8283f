import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { describeThrown, HeraldError, toHeraldError } from "../core/errors.ts";
import { readAll, readLines } from "./read-lines.ts";
import { usage } from "./duration.ts";

/** One payload of the command line's data, or why it cannot be one. */
export type Datum =
  | { readonly ok: true; readonly value: unknown; readonly line: number | undefined }
  | { readonly ok: false; readonly error: HeraldError; readonly line: number | undefined };

/** Where data comes from. */
export interface DataSource {
  readonly stdin: Readable;
  /** Ends the reading; what was read until then stands. */
  readonly signal: AbortSignal;
}

/** Above the limit of a message, because white space in a file is not sent. */
const MAX_BYTES = 16 * 2 ** 20;
/** Files of which every line is one payload. */
export const LINES = /\.(jsonl|ndjson)$/i;

/**
 * The payloads that an argument stands for: JSON itself, `@file` (one value, or one a line of a `.jsonl`), `-` for standard
 * input, one JSON a line, empty lines passed over. Without an argument: one empty object. A line that is no JSON is a
 * result with its error, not the end. Rejects with what reading the file rejects with.
 */
export async function* readData(data: string | undefined, source: DataSource): AsyncGenerator<Datum> {
  if (data === undefined) yield { ok: true, value: {}, line: undefined };
  else if (data === "-") yield* fromLines(source.stdin, source.signal);
  else if (!data.startsWith("@")) yield datum(Buffer.from(data), undefined);
  else yield* fromFile(data.slice(1), source.signal);
}

async function* fromFile(file: string, signal: AbortSignal): AsyncGenerator<Datum> {
  if (file === "")
    throw usage(
      "There is no file name behind '@'.",
      "@ stands for the contents of a file.",
      "Write @payload.json.",
    );
  const stream = createReadStream(file);
  if (LINES.test(file)) yield* fromLines(stream, signal);
  else yield datum(await readAll(stream, MAX_BYTES), undefined);
}

async function* fromLines(stream: Readable, signal: AbortSignal): AsyncGenerator<Datum> {
  let line = 0;
  try {
    for await (const bytes of readLines(addAbortSignal(signal, stream), MAX_BYTES)) {
      line++;
      const found = datum(bytes, line);
      if (found.ok || bytes.toString("latin1").trim() !== "") yield found;
    }
  } catch (error) {
    // An interrupt ends the input; it is no fault of the input.
    if (!signal.aborted) throw error;
  }
}

function datum(bytes: Uint8Array, line: number | undefined): Datum {
  try {
    return { ok: true, value: parse(bytes), line };
  } catch (error) {
    return { ok: false, error: toHeraldError(error), line };
  }
}

function parse(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new HeraldError("MALFORMED", "The data is not UTF-8.", { cause });
  }
  try {
    return JSON.parse(text, refuseInexact);
  } catch (cause) {
    throw cause instanceof HeraldError
      ? cause
      : new HeraldError("MALFORMED", `The data is not JSON: ${describeThrown(cause)}.`, { cause });
  }
}

/** A number that this process cannot hold would be sent as another one. */
function refuseInexact(
  this: unknown,
  key: string,
  value: unknown,
  context?: { readonly source?: string },
): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined) return value;
  if (Number.isFinite(value) && (!/^-?\d+$/.test(source) || BigInt(source) === BigInt(value))) return value;
  const where = key === "" ? "" : ` at '${key}'`;
  throw new HeraldError("MALFORMED", `The number ${source.slice(0, 40)}${where} cannot be held exactly.`, {
    details: { hint: "Send it as a string.", why: "Sent as it is, it would arrive as another number." },
  });
}
