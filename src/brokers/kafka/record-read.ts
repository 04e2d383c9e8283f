import type { Package } from "./client.ts";

/** A batch of records, as the log has it. */
export interface BatchRead {
  readonly firstOffset: number;
  readonly lastOffsetDelta: number;
  readonly attributes: number;
  readonly firstTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly records: readonly RecordRead[];
}

const LENGTH_AT = 8;
const EPOCH_AT = 12;
const ATTRIBUTES_AT = 21;
const COUNT_AT = 57;
const RECORDS_AT = 61;
const COMPRESSION = 0b111;
const ABSENT = -1;

/** Where it is read next. */
interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

/** A signed number in zigzag, seven bits a byte. */
function varint(cursor: Cursor): number {
  let value = 0;
  let scale = 1;
  for (;;) {
    const byte = cursor.bytes[cursor.at++] ?? 0;
    value += (byte & 127) * scale;
    if (byte < 128) break;
    scale *= 128;
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** Passes over bytes with their length before them; returns that. */
function skipBytes(cursor: Cursor): number {
  const length = varint(cursor);
  if (length > 0) cursor.at += length;
  return length;
}

/** One record where it lies; what is in it is read when somebody asks. */
export class RecordRead {
  readonly offsetDelta: number;
  readonly timestampDelta: number;
  readonly #bytes: Buffer;
  readonly #keyAt: number;
  readonly #keyLength: number;
  readonly #valueLength: number;
  readonly #headersAt: number;

  constructor(cursor: Cursor) {
    // Behind the attributes, which have no meaning yet.
    cursor.at++;
    this.timestampDelta = varint(cursor);
    this.offsetDelta = varint(cursor);
    this.#bytes = cursor.bytes;
    this.#keyLength = skipBytes(cursor);
    this.#keyAt = cursor.at - Math.max(0, this.#keyLength);
    this.#valueLength = skipBytes(cursor);
    this.#headersAt = cursor.at;
  }

  get key(): Buffer | null {
    if (this.#keyLength === ABSENT) return null;
    return this.#bytes.subarray(this.#keyAt, this.#keyAt + this.#keyLength);
  }

  /** A copy: a message that waits must not keep all that came with it. */
  get value(): Buffer | null {
    if (this.#valueLength === ABSENT) return null;
    return Buffer.from(this.#bytes.subarray(this.#headersAt - this.#valueLength, this.#headersAt));
  }

  /** Its headers, one after the other. */
  headers(): HeaderCursor {
    return new HeaderCursor(this.#bytes, this.#headersAt);
  }
}

/** Goes through the headers of a record. */
export class HeaderCursor {
  readonly #cursor: Cursor;
  #left: number;
  #nameAt = 0;
  #nameLength = 0;
  #valueLength = 0;

  constructor(bytes: Buffer, at: number) {
    this.#cursor = { bytes, at };
    this.#left = varint(this.#cursor);
  }

  /** Goes on to the next; false: there is none. */
  next(): boolean {
    if (this.#left-- <= 0 || this.#cursor.at >= this.#cursor.bytes.length) return false;
    this.#nameLength = skipBytes(this.#cursor);
    this.#nameAt = this.#cursor.at - this.#nameLength;
    this.#valueLength = Math.max(0, skipBytes(this.#cursor));
    return true;
  }

  get name(): string {
    return nameIn(this.#cursor.bytes, this.#nameAt, this.#nameLength);
  }

  isNamed(name: string): boolean {
    return this.#nameLength === name.length && this.name === name;
  }

  get text(): string {
    const { bytes, at } = this.#cursor;
    return bytes.toString("utf8", at - this.#valueLength, at);
  }

  get value(): Buffer {
    const { bytes, at } = this.#cursor;
    return bytes.subarray(at - this.#valueLength, at);
  }
}

/** Names that were read, by a number made of them: most records have the same. A name that comes takes the place of another. */
const known: { readonly bytes: Buffer; readonly name: string }[] = [];
const SLOTS = 256;

function nameIn(bytes: Buffer, at: number, length: number): string {
  let hash = length;
  for (let n = at; n < at + length; n++) hash = (Math.imul(hash, 31) + (bytes[n] ?? 0)) | 0;
  const slot = (hash >>> 0) % SLOTS;
  const found = known[slot];
  if (found !== undefined && isAt(bytes, at, length, found.bytes)) return found.name;
  const own = Buffer.from(bytes.subarray(at, at + length));
  const name = own.toString("utf8");
  known[slot] = { bytes: own, name };
  return name;
}

function isAt(bytes: Buffer, at: number, length: number, wanted: Buffer): boolean {
  if (wanted.length !== length) return false;
  for (let n = 0; n < length; n++) if (bytes[at + n] !== wanted[n]) return false;
  return true;
}

/** Takes bytes of a log apart into batches. One that is cut off at the end is left out. */
export function batchesOf(kafka: Pick<Package, "compressionsAlgorithms">, bytes: Buffer): BatchRead[] {
  const batches: BatchRead[] = [];
  for (let at = 0; at + RECORDS_AT <= bytes.length;) {
    const end = at + EPOCH_AT + bytes.readInt32BE(at + LENGTH_AT);
    if (end > bytes.length) break;
    batches.push(batchOf(kafka, bytes.subarray(at, end)));
    at = end;
  }
  return batches;
}

function batchOf(kafka: Pick<Package, "compressionsAlgorithms">, batch: Buffer): BatchRead {
  const attributes = batch.readInt16BE(ATTRIBUTES_AT);
  const packed = batch.subarray(RECORDS_AT);
  const cursor: Cursor = { bytes: unpacked(kafka, packed, attributes & COMPRESSION), at: 0 };
  const records: RecordRead[] = [];
  for (let left = batch.readInt32BE(COUNT_AT); left > 0 && cursor.at < cursor.bytes.length; left--) {
    const length = varint(cursor);
    const end = cursor.at + length;
    records.push(new RecordRead(cursor));
    cursor.at = end;
  }
  return {
    firstOffset: Number(batch.readBigInt64BE(0)),
    lastOffsetDelta: batch.readInt32BE(23),
    attributes,
    firstTimestamp: Number(batch.readBigInt64BE(27)),
    maxTimestamp: Number(batch.readBigInt64BE(35)),
    producerId: batch.readBigInt64BE(43),
    records,
  };
}

function unpacked(
  { compressionsAlgorithms }: Pick<Package, "compressionsAlgorithms">,
  packed: Buffer,
  bits: number,
): Buffer {
  if (bits === 0) return packed;
  const algorithm = Object.values(compressionsAlgorithms).find(({ bitmask }) => bitmask === bits);
  if (algorithm === undefined)
    throw new Error(`Records are compressed in a way (${bits}) that nobody knows.`);
  return algorithm.decompressSync(packed);
}
