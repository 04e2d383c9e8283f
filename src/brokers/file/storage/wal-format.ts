/** Bytes of the header of a write-ahead log, and of the header before each page in it. */
export const WAL_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;

const MAGIC = 0x377f0682;
const VERSION = 3_007_000;
const LITTLE_ENDIAN_HOST = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** The running checksum of a log: each frame's goes on from the one before it. */
export interface Checksum {
  readonly s0: number;
  readonly s1: number;
}

/** What the 32 bytes at the start of a log say. https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
export interface WalHeader {
  readonly pageSize: number;
  /** Whether checksums read their words big end first. */
  readonly bigEndian: boolean;
  /** Both salts: every frame of the log's present generation carries them. */
  readonly salt: bigint;
  readonly checksum: Checksum;
  /** Whether magic, version, page size and checksum are what they must be. */
  readonly sound: boolean;
}

/** What the 24 bytes before a page say. */
export interface FrameHeader {
  readonly page: number;
  /** Pages of the database after the transaction that this frame commits; 0 for a frame that commits nothing. */
  readonly commitPages: number;
  readonly salt: bigint;
  readonly stored: Checksum;
}

/** Reads a log's header; `bytes` holds at least {@link WAL_HEADER_BYTES}. */
export function readWalHeader(bytes: Uint8Array): WalHeader {
  const view = viewOf(bytes);
  const magic = view.getUint32(0);
  const pageSize = view.getUint32(8);
  const bigEndian = (magic & 1) === 1;
  const checksum = checksumOf(bytes.subarray(0, 24), { s0: 0, s1: 0 }, bigEndian);
  return {
    pageSize,
    bigEndian,
    salt: view.getBigUint64(16),
    checksum,
    sound:
      (magic & ~1) >>> 0 === MAGIC &&
      view.getUint32(4) === VERSION &&
      isPageSize(pageSize) &&
      same(checksum, { s0: view.getUint32(24), s1: view.getUint32(28) }),
  };
}

/** Reads the header of the frame that starts at `offset`. */
export function readFrameHeader(bytes: Uint8Array, offset: number): FrameHeader {
  const view = viewOf(bytes);
  return {
    page: view.getUint32(offset),
    commitPages: view.getUint32(offset + 4),
    salt: view.getBigUint64(offset + 8),
    stored: { s0: view.getUint32(offset + 16), s1: view.getUint32(offset + 20) },
  };
}

/** The checksum of a whole frame, which covers eight bytes of its header and its page, going on from `seed`. */
export function frameChecksum(frame: Uint8Array, seed: Checksum, bigEndian: boolean): Checksum {
  const head = checksumOf(frame.subarray(0, 8), seed, bigEndian);
  return checksumOf(frame.subarray(FRAME_HEADER_BYTES), head, bigEndian);
}

/** Whether two checksums are equal. */
export function same(one: Checksum, other: Checksum): boolean {
  return one.s0 === other.s0 && one.s1 === other.s1;
}

/** SQLite's checksum over a multiple of eight bytes. */
export function checksumOf(bytes: Uint8Array, seed: Checksum, bigEndian: boolean): Checksum {
  let { s0, s1 } = seed;
  if (bigEndian !== LITTLE_ENDIAN_HOST && bytes.byteOffset % 4 === 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let at = 0; at < words.length; at += 2) {
      s0 = (s0 + (words[at] as number) + s1) | 0;
      s1 = (s1 + (words[at + 1] as number) + s0) | 0;
    }
  } else {
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.length; at += 8) {
      s0 = (s0 + view.getUint32(at, !bigEndian) + s1) | 0;
      s1 = (s1 + view.getUint32(at + 4, !bigEndian) + s0) | 0;
    }
  }
  return { s0: s0 >>> 0, s1: s1 >>> 0 };
}

/** Whether SQLite could have a page of this many bytes. */
export function isPageSize(bytes: number): boolean {
  return bytes >= 512 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
