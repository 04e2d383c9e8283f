import { isUtf8 } from "node:buffer";
import { HeraldError } from "../core/errors.ts";

/** Large enough for the allocator to give it back to the system as a whole, small enough to be filled soon. */
const SLAB_BYTES = 256 * 1024;
/** Texts above this length get a buffer of their own. */
const SMALL = SLAB_BYTES / 16;

let slab = Buffer.allocUnsafeSlow(0);
let used = 0;

/** UTF-8 bytes of a text. Small texts share slabs, so that a million of them are not a million allocations. */
export function encodeText(text: string): Uint8Array {
  if (text.length > SMALL) return Buffer.from(text);
  // A UTF-16 unit becomes at most three bytes.
  if (used + text.length * 3 > slab.byteLength) turnOver();
  const start = used;
  used += slab.write(text, start);
  return slab.subarray(start, used);
}

/** A copy of bytes that somebody writes over soon; small ones share slabs as texts do. */
export function keepBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength > SMALL) return new Uint8Array(bytes);
  if (used + bytes.byteLength > slab.byteLength) turnOver();
  const start = used;
  slab.set(bytes, start);
  used += bytes.byteLength;
  return slab.subarray(start, used);
}

function turnOver(): void {
  slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  used = 0;
}

/** The same bytes as a Buffer, without a copy. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The text of UTF-8 bytes (RFC 3629). `MALFORMED` when they are not: nothing is replaced in silence. */
export function decodeText(bytes: Uint8Array): string {
  const buffer = bufferOf(bytes);
  const text = buffer.toString("utf8");
  // What is not UTF-8 has become U+FFFD; most texts hold none, and need no second look.
  if (!text.includes("\uFFFD") || isUtf8(buffer)) return text;
  throw new HeraldError(
    "MALFORMED",
    "The body is not UTF-8: send text as UTF-8, or bytes as application/octet-stream.",
  );
}
