import { HeraldError, type ErrorCode } from "../core/errors.ts";

/** What is to carry a value, as far as it makes a difference to what can be carried. */
export interface Carrier {
  /** How it is called in a sentence. */
  readonly name: string;
  /** Bytes may stand inside a value. */
  readonly bytes: boolean;
  /** Text may hold half of a surrogate pair. */
  readonly halves: boolean;
}

/** RFC 8259. */
export const JSON_CARRIER: Carrier = { name: "JSON", bytes: false, halves: true };

/** What a walk over a value met that its caller must know. */
export interface Seen {
  readonly carrier: Carrier;
  /** A negative zero: JSON.stringify alone would drop its sign. */
  negativeZero: boolean;
  /** A number that may not be what the text said. */
  inexact: boolean;
  /** Objects and arrays met on the way out, one that is met again counted again. */
  objects: number;
}

/** More than any broker takes. Objects that refer to each other crosswise would be walked until the end of days. */
const MAX_OBJECTS = 4_000_000;

interface Fault {
  readonly code: ErrorCode;
  readonly what: string;
  readonly path: string;
}

/** Walks a value that is to be published. Throws `UNSERIALIZABLE`, `DEPTH_LIMIT`, `MESSAGE_TOO_LARGE` or `UNSAFE_PAYLOAD`, naming the path. */
export function checkOutgoing(value: unknown, maxDepth: number, seen: Seen): void {
  raise(outgoing(value, maxDepth, seen));
}

/** Walks a value that was parsed. Throws `DEPTH_LIMIT` or `UNSAFE_PAYLOAD`, naming the path. */
export function checkIncoming(value: unknown, maxDepth: number, seen: Seen): void {
  raise(incoming(value, maxDepth, seen));
}

/** Nothing seen yet. */
export function seenNothing(carrier: Carrier): Seen {
  return { carrier, negativeZero: false, inexact: false, objects: 0 };
}

function raise(fault: Fault | undefined): void {
  if (fault === undefined) return;
  const path = `payload${fault.path}`;
  throw new HeraldError(fault.code, `${path} ${fault.what}`, { details: { path } });
}

function outgoing(value: unknown, depth: number, seen: Seen): Fault | undefined {
  switch (typeof value) {
    case "string":
      return seen.carrier.halves || value.isWellFormed() ? undefined : halfPair(seen);
    case "boolean":
      return undefined;
    case "number":
      if (!Number.isFinite(value))
        return fault("UNSERIALIZABLE", `is ${value}, which ${notBy(seen)}: send null or a string.`);
      if (value === 0 && Object.is(value, -0)) seen.negativeZero = true;
      return undefined;
    case "object":
      return value === null ? undefined : outgoingObject(value, depth, seen);
    default:
      return fault(
        "UNSERIALIZABLE",
        `is of type ${typeof value}, which ${notBy(seen)}: send a string, a number or null.`,
      );
  }
}

function outgoingObject(value: object, depth: number, seen: Seen): Fault | undefined {
  if (depth === 0) return tooDeep();
  if (++seen.objects > MAX_OBJECTS)
    return fault(
      "MESSAGE_TOO_LARGE",
      `is object number ${MAX_OBJECTS}, more than a message can hold: send less.`,
    );
  if (Array.isArray(value)) return each(value, (item) => outgoing(item, depth - 1, seen));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    if (value instanceof Date && Number.isNaN(value.getTime()))
      return fault("UNSERIALIZABLE", "is an invalid date: send null or a valid one.");
    // Before `toJSON`, which a Buffer has.
    if (seen.carrier.bytes && value instanceof Uint8Array) return undefined;
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") return outgoing(toJSON.call(value, ""), depth - 1, seen);
    const kind = Object.prototype.toString.call(value);
    if (kind !== "[object Object]")
      return fault("UNSERIALIZABLE", `is a ${kind.slice(8, -1)}, which ${notBy(seen)}: send its contents.`);
  }
  for (const key in value) {
    if (isUnsafe(key, value)) return unsafe(key);
    const item = (value as Record<string, unknown>)[key];
    // An undefined property is an absent one, as everywhere in JSON.
    if (item === undefined) continue;
    if (!seen.carrier.halves && !key.isWellFormed()) return halfPair(seen);
    const found = outgoing(item, depth - 1, seen);
    if (found !== undefined) return under(key, found);
  }
  return undefined;
}

function incoming(value: unknown, depth: number, seen: Seen): Fault | undefined {
  if (typeof value === "number") {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
      seen.inexact = true;
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === 0) return tooDeep();
  if (Array.isArray(value)) return each(value, (item) => incoming(item, depth - 1, seen));
  for (const key in value) {
    if (isUnsafe(key, value)) return unsafe(key);
    const found = incoming((value as Record<string, unknown>)[key], depth - 1, seen);
    if (found !== undefined) return under(key, found);
  }
  return undefined;
}

function each(items: readonly unknown[], check: (item: unknown) => Fault | undefined): Fault | undefined {
  for (let i = 0; i < items.length; i++) {
    const found = check(items[i]);
    if (found !== undefined) return { ...found, path: `[${i}]${found.path}` };
  }
  return undefined;
}

/** Keys through which a careless merge reaches a prototype. */
export function isUnsafe(key: string, owner: object): boolean {
  if (key === "__proto__") return true;
  if (key !== "constructor" || !Object.hasOwn(owner, key)) return false;
  const value: unknown = (owner as Record<string, unknown>)[key];
  return typeof value === "object" && value !== null && Object.hasOwn(value, "prototype");
}

function under(key: string, found: Fault): Fault {
  return { ...found, path: `.${key}${found.path}` };
}

function fault(code: ErrorCode, what: string): Fault {
  return { code, what, path: "" };
}

function halfPair(seen: Seen): Fault {
  return fault("UNSERIALIZABLE", `holds half of a surrogate pair, which ${notBy(seen)}: send whole text.`);
}

function notBy({ carrier }: Seen): string {
  return `${carrier.name} cannot carry`;
}

function tooDeep(): Fault {
  return fault(
    "DEPTH_LIMIT",
    "is nested deeper than the limit, or refers to itself: flatten it, or send a reference.",
  );
}

function unsafe(key: string): Fault {
  return fault("UNSAFE_PAYLOAD", `has the key '${key}', which can poison prototypes: rename it.`);
}
