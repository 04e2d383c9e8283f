import type * as Msgpackr from "msgpackr";
import { describeThrown, HeraldError, isHeraldError } from "../../core/errors.ts";
import { checkIncoming, checkOutgoing, seenNothing, type Carrier } from "../guard.ts";
import { peer } from "../peer.ts";
import { toPlain } from "../plain.ts";
import { bufferOf, keepBytes } from "../slab.ts";
import { scanMessagePack } from "./scan.ts";

/** What it carries beside what JSON does: bytes inside a value. What it does not: half a surrogate pair, the sign of -0. */
const CARRIER: Carrier = { name: "MessagePack", bytes: true, halves: false };

/** The build without native code and without `eval`: the same everywhere, whatever else is installed. */
const library = peer("msgpackr", "MessagePack", "msgpackr/index-no-eval") as () => typeof Msgpackr;

let packer: Msgpackr.Packr | undefined;

/** Loads the package `msgpackr`. `UNSUPPORTED`, naming it, where it is missing. */
export function messagePack(): Msgpackr.Packr {
  // Records and bundled strings are msgpackr's own additions, which others do not read.
  packer ??= new (library().Packr)({ useRecords: false, variableMapSize: true, int64AsType: "number" });
  return packer;
}

/**
 * A value as MessagePack. It carries what JSON carries, and bytes inside. What it cannot carry is refused, never changed:
 * `UNSERIALIZABLE` as for JSON, for text with half a surrogate pair and for -0; `DEPTH_LIMIT`; `MESSAGE_TOO_LARGE`;
 * `UNSAFE_PAYLOAD`. No extension types are written. `UNSUPPORTED` without the package `msgpackr`.
 */
export function encodeMessagePack(value: unknown, maxDepth: number): Uint8Array {
  const library = messagePack();
  try {
    const seen = seenNothing(CARRIER);
    checkOutgoing(value, maxDepth, seen);
    if (seen.negativeZero) throw unwritable("holds -0, whose sign would be lost: send 0, or a string");
    return keepBytes(library.pack(toPlain(value)));
  } catch (cause) {
    throw isHeraldError(cause) ? cause : unwritable(`cannot be written: ${describeThrown(cause)}`, cause);
  }
}

/**
 * The value of MessagePack bytes: plain data, its binary parts as `Uint8Array`. Throws what {@link scanMessagePack} throws,
 * before anything is made of the bytes; `UNSAFE_PAYLOAD` as for JSON; `UNSUPPORTED` without the package `msgpackr`.
 */
export function decodeMessagePack(bytes: Uint8Array, maxDepth: number): unknown {
  const library = messagePack();
  const buffer = bufferOf(bytes);
  const hasBinary = scanMessagePack(buffer, maxDepth);
  const value = read(library, buffer);
  checkIncoming(value, maxDepth, seenNothing(CARRIER));
  return hasBinary ? toPlain(value) : value;
}

function read(library: Msgpackr.Packr, buffer: Buffer): unknown {
  try {
    return library.unpack(buffer) as unknown;
  } catch (cause) {
    const message = `The body cannot be read as MessagePack: ${describeThrown(cause)}`;
    throw new HeraldError("MALFORMED", message, { cause });
  }
}

function unwritable(what: string, cause?: unknown): HeraldError {
  return new HeraldError("UNSERIALIZABLE", `The payload ${what}.`, cause === undefined ? {} : { cause });
}
