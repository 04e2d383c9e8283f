import type { Package } from "./client.ts";
import type { RecordToWrite } from "./codec.ts";
import type { KafkaCompression } from "./options.ts";

/** The numbers by which the server knows a batch again. */
export interface BatchNumbers {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  /** It counts only with its transaction. */
  readonly transactional?: boolean;
}

const MAGIC = 2;
const TRANSACTIONAL = 1 << 4;
/** Everything before the records. */
const HEAD_BYTES = 61;
const LENGTH_AT = 8;
const EPOCH_AT = 12;
const CRC_AT = 17;
/** What the checksum is of begins here. */
const ATTRIBUTES_AT = 21;
const MAX_VARINT_BYTES = 10;
const MAX_LETTER_BYTES = 3;
/** A length up to this takes one byte. */
const MAX_SHORT = 63;
const USUAL_LENGTH_BYTES = 2;
/** All numbers of a record that stand before its key. */
const MAX_RECORD_HEAD_BYTES = 40;
const FIRST_BYTES = 64 * 1024;

/** Used for one batch after the other; what is kept of it is copied. */
let scratch = Buffer.allocUnsafe(FIRST_BYTES);
let at = 0;

function room(bytes: number): void {
  if (at + bytes <= scratch.length) return;
  const larger = Buffer.allocUnsafe(Math.max(scratch.length * 2, at + bytes));
  scratch.copy(larger, 0, 0, at);
  scratch = larger;
}

/** A signed number in zigzag, seven bits a byte. Numbers here are lengths and distances within one batch: 53 bits are enough. */
function varint(value: number): void {
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  while (rest > 127) {
    scratch[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  scratch[at++] = rest;
}

function sizeOfVarint(value: number): number {
  let size = 1;
  for (let rest = value < 0 ? -value * 2 - 1 : value * 2; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}

function bytes(value: Buffer | null): void {
  room((value?.length ?? 0) + MAX_VARINT_BYTES);
  if (value === null) {
    varint(-1);
    return;
  }
  varint(value.length);
  value.copy(scratch, at);
  at += value.length;
}

/** Text as UTF-8. Most of it is short and ASCII: a byte for each letter, and one for their number. */
function text(value: string): void {
  room(value.length * MAX_LETTER_BYTES + MAX_VARINT_BYTES);
  if (value.length > MAX_SHORT || !writeLetters(value)) {
    varint(Buffer.byteLength(value, "utf8"));
    at += scratch.write(value, at, "utf8");
  }
}

/** False, and nothing is written, when there is more than ASCII. */
function writeLetters(value: string): boolean {
  let to = at + 1;
  for (let n = 0; n < value.length; n++) {
    const letter = value.charCodeAt(n);
    if (letter > 127) return false;
    scratch[to++] = letter;
  }
  scratch[at] = value.length * 2;
  at = to;
  return true;
}

/**
 * Records as one batch, as they go over the wire (record batch version 2). The package's own encoder makes an object for each record
 * and header; this one writes them where they belong. Checksum and compression are the package's.
 */
export function encodeBatch(
  kafka: Pick<Package, "crc32c" | "compressionsAlgorithms">,
  records: readonly RecordToWrite[],
  numbers: BatchNumbers,
  compression: KafkaCompression,
): Buffer {
  const first = records[0]?.timestamp ?? 0;
  let latest = first;
  at = HEAD_BYTES;
  for (const [delta, record] of records.entries()) {
    if (record.timestamp > latest) latest = record.timestamp;
    writeRecord(record, delta, record.timestamp - first);
  }
  let attributes = numbers.transactional === true ? TRANSACTIONAL : 0;
  if (compression !== "none") {
    const algorithm = kafka.compressionsAlgorithms[compression];
    const packed = algorithm.compressSync(Buffer.from(scratch.subarray(HEAD_BYTES, at)));
    attributes |= algorithm.bitmask;
    at = HEAD_BYTES;
    room(packed.length);
    packed.copy(scratch, at);
    at += packed.length;
  }
  const batch = Buffer.from(scratch.subarray(0, at));
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(batch.length - EPOCH_AT, LENGTH_AT);
  batch.writeInt32BE(-1, EPOCH_AT);
  batch.writeInt8(MAGIC, 16);
  batch.writeInt16BE(attributes, ATTRIBUTES_AT);
  batch.writeInt32BE(records.length - 1, 23);
  batch.writeBigInt64BE(BigInt(first), 27);
  batch.writeBigInt64BE(BigInt(latest), 35);
  batch.writeBigInt64BE(numbers.producerId, 43);
  batch.writeInt16BE(numbers.producerEpoch, 51);
  batch.writeInt32BE(numbers.firstSequence, 53);
  batch.writeInt32BE(records.length, 57);
  batch.writeUInt32BE(kafka.crc32c(batch.subarray(ATTRIBUTES_AT)) >>> 0, CRC_AT);
  return batch;
}

function writeRecord({ key, value, headers }: RecordToWrite, offsetDelta: number, timeDelta: number): void {
  room(MAX_RECORD_HEAD_BYTES);
  // How long it is stands first and is known last; of nearly all records that takes two bytes.
  const start = at;
  at += USUAL_LENGTH_BYTES;
  scratch[at++] = 0;
  varint(timeDelta);
  varint(offsetDelta);
  bytes(key);
  bytes(value);
  room(MAX_VARINT_BYTES);
  varint(headers.length / 2);
  for (const part of headers)
    if (typeof part === "string") text(part);
    else bytes(part);
  const size = at - start - USUAL_LENGTH_BYTES;
  const shift = sizeOfVarint(size) - USUAL_LENGTH_BYTES;
  if (shift !== 0) {
    room(MAX_VARINT_BYTES);
    scratch.copyWithin(start + USUAL_LENGTH_BYTES + shift, start + USUAL_LENGTH_BYTES, at);
  }
  const end = at + shift;
  at = start;
  varint(size);
  at = end;
}
