import { describeThrown, HeraldError, isHeraldError } from "../core/errors.ts";
import { checkIncoming, checkOutgoing, JSON_CARRIER, seenNothing } from "./guard.ts";
import { decodeText, encodeText } from "./slab.ts";

declare global {
  interface JSON {
    /** Text that stringify puts into its output as it stands (ECMAScript proposal, in every supported Node). */
    rawJSON(text: string): unknown;
  }
}

/**
 * A value as JSON bytes (RFC 8259). What JSON cannot carry is refused, never changed: `UNSERIALIZABLE` for numbers that
 * are not finite, functions, symbols, bigints, invalid dates, collections, and what throws when it is read; `DEPTH_LIMIT`;
 * `MESSAGE_TOO_LARGE` for millions of objects; `UNSAFE_PAYLOAD` for `__proto__` keys. Undefined properties are absent;
 * objects with `toJSON` (dates) speak for themselves.
 */
export function encodeJson(value: unknown, maxDepth: number): Uint8Array {
  const seen = seenNothing(JSON_CARRIER);
  try {
    checkOutgoing(value, maxDepth, seen);
    return encodeText(seen.negativeZero ? JSON.stringify(value, keepSign) : JSON.stringify(value));
  } catch (cause) {
    throw isHeraldError(cause) ? cause : unreadable(cause);
  }
}

/**
 * The value of JSON bytes. `MALFORMED` when they are not JSON in UTF-8, or hold a number beyond the range of this process
 * or a whole number that it cannot hold exactly (fractions are rounded as everywhere, RFC 8259 section 6); `DEPTH_LIMIT`
 * and `UNSAFE_PAYLOAD` as for {@link encodeJson}.
 */
export function decodeJson(bytes: Uint8Array, maxDepth: number): unknown {
  const text = decodeText(bytes);
  const value = parse(text);
  if (typeof value !== "object" && typeof value !== "number") return value;
  const seen = seenNothing(JSON_CARRIER);
  checkIncoming(value, maxDepth, seen);
  if (seen.inexact) JSON.parse(text, refuseInexact);
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HeraldError(
      "MALFORMED",
      `The body is not JSON${placeOf(error)}: publish JSON, or say what it is with a content type.`,
    );
  }
}

/** Where parsing stopped. The engine's own sentence quotes the body, which has no business in headers, events and logs. */
function placeOf(error: unknown): string {
  const position = /at position (\d+)/.exec((error as Error).message)?.[1];
  return position === undefined ? "" : ` from position ${position} on`;
}

/** A whole number that is what it says, or is how this language writes the number that was meant. */
function isExact(source: string, value: number): boolean {
  return String(value) === source || BigInt(source) === BigInt(value);
}

function unreadable(cause: unknown): HeraldError {
  return new HeraldError(
    "UNSERIALIZABLE",
    `The payload cannot be written as JSON: ${describeThrown(cause)}`,
    { cause },
  );
}

function keepSign(_key: string, value: unknown): unknown {
  return Object.is(value, -0) ? JSON.rawJSON("-0") : value;
}

function refuseInexact(
  this: unknown,
  key: string,
  value: unknown,
  context?: { readonly source?: string },
): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined) return value;
  if (Number.isFinite(value) && (!/^-?\d+$/.test(source) || isExact(source, value))) return value;
  throw new HeraldError(
    "MALFORMED",
    `The number ${source.slice(0, 40)} at '${key}' cannot be held exactly: send it as a string.`,
    {
      details: { key },
    },
  );
}
