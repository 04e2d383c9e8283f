import { isUtf8 } from "node:buffer";
import { HeraldError, type ErrorCode } from "../../core/errors.ts";

/** By the tag: how many bytes of length follow it. */
const TEXTS: Readonly<Record<number, 1 | 2 | 4>> = { 0xd9: 1, 0xda: 2, 0xdb: 4 };
const BINARIES: Readonly<Record<number, 1 | 2 | 4>> = { 0xc4: 1, 0xc5: 2, 0xc6: 4 };
const LISTS: Readonly<Record<number, 2 | 4>> = { 0xdc: 2, 0xdd: 4 };
const MAPS: Readonly<Record<number, 2 | 4>> = { 0xde: 2, 0xdf: 4 };
/** By the tag: how many bytes a scalar has behind it. Those of 64 bits and of fractions are looked into. */
const SCALARS: Readonly<Record<number, number>> = {
  0xc0: 0,
  0xc2: 0,
  0xc3: 0,
  0xcc: 1,
  0xcd: 2,
  0xce: 4,
  0xd0: 1,
  0xd1: 2,
  0xd2: 4,
};
const POISON = Buffer.from("__proto__");

/**
 * Goes over MessagePack before a library makes anything of it, and makes nothing itself. Throws `MALFORMED` where the bytes
 * are cut short, go on behind the value, hold text that is no UTF-8, an extension type, a key that is no text, a whole number
 * that a number cannot hold, NaN or an infinity; `DEPTH_LIMIT`; `UNSAFE_PAYLOAD` for a key `__proto__`. True when there are
 * bytes inside.
 */
export function scanMessagePack(bytes: Buffer, maxDepth: number): boolean {
  const scan = new Scan(bytes);
  scan.value(maxDepth);
  scan.end();
  return scan.hasBinary;
}

class Scan {
  readonly #bytes: Buffer;
  #at = 0;
  hasBinary = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(depth: number): void {
    const tag = this.#length(1);
    if (tag < 0x80 || tag >= 0xe0) return;
    if (tag < 0x90) this.#map(tag & 0x0f, depth);
    else if (tag < 0xa0) this.#list(tag & 0x0f, depth);
    else if (tag < 0xc0) this.#text(tag & 0x1f);
    else this.#tagged(tag, depth);
  }

  end(): void {
    const left = this.#bytes.byteLength - this.#at;
    if (left > 0) throw this.#fault("MALFORMED", `has ${left} bytes behind its value: send one value`);
  }

  #tagged(tag: number, depth: number): void {
    const scalar = SCALARS[tag];
    const text = TEXTS[tag];
    const list = LISTS[tag];
    const map = MAPS[tag];
    const binary = BINARIES[tag];
    if (scalar !== undefined) this.#skip(scalar);
    else if (text !== undefined) this.#text(this.#length(text));
    else if (list !== undefined) this.#list(this.#length(list), depth);
    else if (map !== undefined) this.#map(this.#length(map), depth);
    else if (binary !== undefined) {
      this.#skip(this.#length(binary));
      this.hasBinary = true;
    } else this.#number(tag);
  }

  #number(tag: number): void {
    const bytes = this.#bytes;
    if (tag === 0xca) this.#finite(bytes.readFloatBE(this.#skip(4)));
    else if (tag === 0xcb) this.#finite(bytes.readDoubleBE(this.#skip(8)));
    else if (tag === 0xcf) this.#exact(bytes.readBigUInt64BE(this.#skip(8)));
    else if (tag === 0xd3) this.#exact(bytes.readBigInt64BE(this.#skip(8)));
    else throw this.#fault("MALFORMED", "has an extension type: send text, numbers, bytes, lists and maps");
  }

  #list(count: number, depth: number): void {
    this.#enter(count, depth);
    for (let i = 0; i < count; i++) this.value(depth - 1);
  }

  #map(count: number, depth: number): void {
    this.#enter(count * 2, depth);
    for (let i = 0; i < count; i++) {
      this.#key();
      this.value(depth - 1);
    }
  }

  #key(): void {
    const tag = this.#length(1);
    const width = TEXTS[tag];
    if (width === undefined && (tag & 0xe0) !== 0xa0)
      throw this.#fault("MALFORMED", "has a key that is no text: send keys as text");
    const length = width === undefined ? tag & 0x1f : this.#length(width);
    const start = this.#at;
    this.#text(length);
    if (length === POISON.byteLength && POISON.equals(this.#bytes.subarray(start, this.#at)))
      throw this.#fault(
        "UNSAFE_PAYLOAD",
        `has the key '${POISON.toString()}', which can poison prototypes: rename it`,
      );
  }

  #text(length: number): void {
    const start = this.#skip(length);
    const bytes = this.#bytes;
    // ASCII needs no call into the engine.
    let at = start;
    while (at < this.#at && (bytes[at] as number) < 0x80) at++;
    if (at < this.#at && !isUtf8(bytes.subarray(at, this.#at)))
      throw this.#fault("MALFORMED", "has text that is not UTF-8: send UTF-8, or bytes");
  }

  #finite(value: number): void {
    if (!Number.isFinite(value))
      throw this.#fault("MALFORMED", `has the number ${value}: send null or a string`);
  }

  #exact(value: bigint): void {
    if (!Number.isSafeInteger(Number(value)))
      throw this.#fault("MALFORMED", "has a whole number beyond 2^53, which would change: send it as text");
  }

  /** Every item has a byte at least: a count that the bytes cannot hold is not believed. */
  #enter(items: number, depth: number): void {
    if (depth === 0)
      throw this.#fault("DEPTH_LIMIT", "is nested deeper than the limit: flatten it, or send a reference");
    this.#mustHold(items);
  }

  #length(width: 1 | 2 | 4): number {
    return this.#bytes.readUIntBE(this.#skip(width), width);
  }

  /** Where the skipped bytes begin. */
  #skip(count: number): number {
    this.#mustHold(count);
    const start = this.#at;
    this.#at += count;
    return start;
  }

  #mustHold(count: number): void {
    if (count > this.#bytes.byteLength - this.#at)
      throw this.#fault("MALFORMED", "is cut short: send it whole");
  }

  #fault(code: ErrorCode, what: string): HeraldError {
    const message = `The MessagePack ${what} (before byte ${this.#at}).`;
    return new HeraldError(code, message, { details: { at: this.#at } });
  }
}
