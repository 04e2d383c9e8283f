import { describeThrown, HeraldError, isHeraldError } from "../core/errors.ts";
import { checkOutgoing, seenNothing, type Carrier } from "./guard.ts";

/** What every carrier together can carry. */
const ANY: Carrier = { name: "a message", bytes: true, halves: true };

/**
 * A copy of a payload as plain data: what its author makes of the original afterwards changes nothing. Undefined properties
 * are left out, objects with `toJSON` speak for themselves, bytes are copied. Throws `UNSERIALIZABLE`, `DEPTH_LIMIT`,
 * `MESSAGE_TOO_LARGE` or `UNSAFE_PAYLOAD`, as encoding does.
 */
export function plainCopy(value: unknown, maxDepth: number): unknown {
  if (value === undefined)
    throw new HeraldError("UNSERIALIZABLE", "payload is undefined: send null when there is nothing to say.");
  try {
    checkOutgoing(value, maxDepth, seenNothing(ANY));
    return toPlain(value);
  } catch (cause) {
    if (isHeraldError(cause)) throw cause;
    const message = `The payload cannot be read: ${describeThrown(cause)}`;
    throw new HeraldError("UNSERIALIZABLE", message, { cause });
  }
}

/** The same data in plain objects, arrays and `Uint8Array`, whatever classes it comes in. The depth must be known to be bounded. */
export function toPlain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return scalar(value);
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === "function") return toPlain(toJSON.call(value, ""));
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const item = (value as Record<string, unknown>)[key];
    if (item !== undefined) copy[key] = toPlain(item);
  }
  return copy;
}

/** What was checked can be something else when it is read again. */
function scalar(value: unknown): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean" || typeof value === "number")
    return value;
  throw new HeraldError(
    "UNSERIALIZABLE",
    `payload holds a value of type ${typeof value} when it is read again: send the same twice.`,
  );
}
