import { readFileSync, writeFileSync } from "node:fs";
import {
  FRAME_HEADER_BYTES,
  WAL_HEADER_BYTES,
  frameChecksum,
  readFrameHeader,
  readWalHeader,
  same,
  type Checksum,
} from "./wal-format.ts";
import { mended, scanWal } from "./wal-scan.ts";

/** Bits that are turned back one after another; more than these are no accident. */
const MAX_BITS = 100;

/** Which frames a log is put together from. */
export type Selection = "all" | "sound";

/**
 * Turns flipped bits of a log back, where the checksum says which they were, and writes the log to `to`. True when nothing
 * is damaged after that: the log says what was written then, to the last bit.
 */
export function turnBitsBack(from: string, to: string): boolean {
  const bytes = readFileSync(from);
  writeFileSync(to, bytes, { mode: 0o600 });
  for (let round = 0; round < MAX_BITS; round += 1) {
    const { damage, state, pageSize } = scanWal(to);
    if (state !== "damaged") return true;
    if (damage?.flippedBit === undefined) return false;
    const { offset, flippedBit } = damage;
    const frame = bytes.subarray(offset, offset + FRAME_HEADER_BYTES + pageSize);
    frame.set(mended(frame, flippedBit));
    writeFileSync(to, bytes);
  }
  return false;
}

/**
 * Writes a log to `to` that SQLite reads to the end of its last commit, from the frames of `from` that carry its salts:
 * `all` of them, or only those whose own checksum is right. What a broken page holds is for the records' checksums to tell.
 */
export function putTogether(from: string, to: string, selection: Selection): void {
  const bytes = Uint8Array.from(readFileSync(from));
  const frameBytes = FRAME_HEADER_BYTES + mendHeader(bytes);
  const { salt, bigEndian, checksum } = readWalHeader(bytes);
  const view = new DataView(bytes.buffer);
  let chain: Checksum = checksum;
  let previous: Checksum = checksum;
  let end = WAL_HEADER_BYTES;
  let committed = end;
  for (let at = end; at + frameBytes <= bytes.length; at += frameBytes) {
    const frame = bytes.subarray(at, at + frameBytes);
    const header = readFrameHeader(frame, 0);
    const isSound = header.salt === salt && same(frameChecksum(frame, previous, bigEndian), header.stored);
    previous = header.stored;
    if (header.salt !== salt || header.page === 0 || (selection === "sound" && !isSound)) continue;
    bytes.copyWithin(end, at, at + frameBytes);
    chain = frameChecksum(bytes.subarray(end, end + frameBytes), chain, bigEndian);
    view.setUint32(end + 16, chain.s0);
    view.setUint32(end + 20, chain.s1);
    end += frameBytes;
    if (header.commitPages > 0) committed = end;
  }
  writeFileSync(to, bytes.subarray(0, committed), { mode: 0o600 });
}

/** Makes a broken header right from what the frames say; gives the size of a page. */
function mendHeader(bytes: Uint8Array<ArrayBuffer>): number {
  const header = readWalHeader(bytes);
  if (header.sound) return header.pageSize;
  const view = new DataView(bytes.buffer);
  const stored = { s0: view.getUint32(24), s1: view.getUint32(28) };
  const before = Uint8Array.from(bytes.subarray(0, WAL_HEADER_BYTES));
  for (let bit = 0; bit < 24 * 8; bit += 1) {
    const at = bit >> 3;
    bytes[at] = (before[at] as number) ^ (1 << (bit & 7));
    if (readWalHeader(bytes).sound) return readWalHeader(bytes).pageSize;
    bytes[at] = before[at] as number;
  }
  // Only its checksum is left to be wrong; what follows is chained anew.
  const { checksum } = header;
  view.setUint32(24, checksum.s0);
  view.setUint32(28, checksum.s1);
  return same(checksum, stored) ? 4096 : header.pageSize;
}
