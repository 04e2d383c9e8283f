import { checksumOf, same } from "./wal-format.ts";

/** What SQLite's index of a log, `herald.db-shm`, says was committed. */
export interface WalIndex {
  /** Frames up to the end of the last commit. SQLite writes it once the log is on the disk. */
  readonly committedFrames: number;
  /** The salts of the log that it speaks of. */
  readonly salt: bigint;
}

const HEADER_BYTES = 48;
const VERSION = 3_007_000;
const BIG_ENDIAN_HOST = new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1;

/** The index that a process left behind that did not close the database. Undefined when its two copies do not agree. */
export function parseWalIndex(bytes: Uint8Array): WalIndex | undefined {
  if (bytes.length < 2 * HEADER_BYTES) return undefined;
  // A copy of its own starts at a multiple of four.
  const header = Uint8Array.from(bytes.subarray(0, HEADER_BYTES));
  if (Buffer.compare(header, bytes.subarray(HEADER_BYTES, 2 * HEADER_BYTES)) !== 0) return undefined;
  const view = new DataView(header.buffer);
  const word = (at: number): number => view.getUint32(at, !BIG_ENDIAN_HOST);
  const computed = checksumOf(header.subarray(0, 40), { s0: 0, s1: 0 }, BIG_ENDIAN_HOST);
  const isSound = word(0) === VERSION && header[12] === 1 && same(computed, { s0: word(40), s1: word(44) });
  return isSound ? { committedFrames: word(16), salt: view.getBigUint64(32) } : undefined;
}
