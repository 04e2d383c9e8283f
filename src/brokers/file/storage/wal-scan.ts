import { closeSync, fstatSync, openSync, readSync, constants } from "node:fs";
import { findFlippedBits, type FlippedBit } from "./flipped-bit.ts";
import {
  FRAME_HEADER_BYTES,
  WAL_HEADER_BYTES,
  frameChecksum,
  isPageSize,
  readFrameHeader,
  readWalHeader,
  same,
  type Checksum,
  type WalHeader,
} from "./wal-format.ts";
import type { WalIndex } from "./wal-index.ts";

/** Where a log says something else than what was written, and what hangs on it. */
export interface WalDamage {
  /** The first broken frame, counted from 1; 0 for the log's own header. */
  readonly frame: number;
  /** Where it starts in the file. */
  readonly offset: number;
  readonly reason: string;
  /** Frames from the broken one on that were committed, as far as can be seen: what SQLite would drop without a word. */
  readonly committedBeyond: number;
  /** The one bit that was turned, where it is known: counted from the start of the frame. */
  readonly flippedBit?: FlippedBit;
}

/** What a write-ahead log holds. */
export interface WalScan {
  /**
   * `absent`: there is none, or it is empty. `sound`: it ends with a commit. `torn`: what follows the last commit was never
   * finished, as after a crash, and SQLite drops it. `damaged`: something that was committed cannot be read.
   */
  readonly state: "absent" | "sound" | "torn" | "damaged";
  readonly pageSize: number;
  /** Frames up to the last commit that can be reached. */
  readonly committedFrames: number;
  /** Bytes of the present generation after that commit. */
  readonly tailBytes: number;
  readonly damage?: WalDamage;
}

const ABSENT: WalScan = { state: "absent", pageSize: 0, committedFrames: 0, tailBytes: 0 };
const CHUNK_FRAMES = 64;
/** Salts that differ in no more bits than this are the same salts, damaged: others are chosen at random. */
const NEAR_BITS = 4;

/** What is known about how the last process ended. */
export interface ScanOptions {
  /** What SQLite's index of the log said then: commits that it names and the log lacks are damage. */
  readonly index?: WalIndex | undefined;
  /**
   * The system may have crashed since the log was written. Then pages that were not synced may be missing before others that
   * are there: a frame of an older generation, or none, stands in their place.
   */
  readonly afterCrash?: boolean;
}

/**
 * Reads a write-ahead log from end to end without changing it. A broken frame is damage when something committed lies beyond
 * it that neither the kill of a process nor, with `afterCrash`, a crash of the system can explain.
 */
export function scanWal(path: string, options: ScanOptions = {}): WalScan {
  let handle: number;
  try {
    handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return ABSENT;
    throw error;
  }
  try {
    return scan(handle, fstatSync(handle).size, options);
  } finally {
    closeSync(handle);
  }
}

function scan(handle: number, size: number, options: ScanOptions): WalScan {
  if (size === 0) return ABSENT;
  const head = new Uint8Array(WAL_HEADER_BYTES);
  const read = readSync(handle, head, 0, WAL_HEADER_BYTES, 0);
  const header = readWalHeader(head);
  if (read < WAL_HEADER_BYTES || !header.sound) return withoutHeader(handle, size, head, header);
  const pass = new Pass(header);
  forEachFrame(handle, size, header.pageSize, (frame, at) => pass.see(frame, at));
  return pass.verdict(size, options);
}

/** A header is written at once, in one sector: where it is broken and frames follow each other, it was whole before. */
function withoutHeader(handle: number, size: number, head: Uint8Array, header: WalHeader): WalScan {
  const pageSize = isPageSize(header.pageSize) ? header.pageSize : 4096;
  const view = new DataView(head.buffer);
  const stored = { s0: view.getUint32(24), s1: view.getUint32(28) };
  let best = 0;
  for (const bigEndian of [false, true]) {
    let seed: Checksum = stored;
    let chained = 0;
    forEachFrame(handle, size, pageSize, (frame) => {
      if (same(frameChecksum(frame, seed, bigEndian), readFrameHeader(frame, 0).stored)) chained += 1;
      seed = readFrameHeader(frame, 0).stored;
    });
    best = Math.max(best, chained);
  }
  const known = { pageSize, committedFrames: 0, tailBytes: size };
  if (best === 0) return { ...known, state: "torn" };
  const damage = { frame: 0, offset: 0, reason: "the header of the log is broken", committedBeyond: best };
  return { ...known, state: "damaged", damage };
}

function forEachFrame(
  handle: number,
  size: number,
  pageSize: number,
  see: (frame: Uint8Array, at: number) => void,
): void {
  const frameBytes = FRAME_HEADER_BYTES + pageSize;
  const frames = Math.floor((size - WAL_HEADER_BYTES) / frameBytes);
  const chunk = new Uint8Array(frameBytes * CHUNK_FRAMES);
  for (let first = 0; first < frames; first += CHUNK_FRAMES) {
    const wanted = Math.min(CHUNK_FRAMES, frames - first) * frameBytes;
    const read = readFully(handle, chunk, wanted, WAL_HEADER_BYTES + first * frameBytes);
    for (let at = 0; at + frameBytes <= read; at += frameBytes)
      see(chunk.subarray(at, at + frameBytes), first + at / frameBytes);
    if (read < wanted) return;
  }
}

function readFully(handle: number, into: Uint8Array, wanted: number, position: number): number {
  let done = 0;
  while (done < wanted) {
    const read = readSync(handle, into, done, wanted - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** One walk over the frames of a log whose header is sound. Frames are counted from 0 here. */
class Pass {
  readonly #header: WalHeader;
  #chain: Checksum;
  #valid = 0;
  #committed = 0;
  #broken: { readonly frame: Uint8Array; readonly seed: Checksum } | undefined;
  #previous: Checksum;
  // Beyond the broken frame, -1 for none: the last commit that follows its predecessor, and the first slot never written.
  #lastCommitBeyond = -1;
  #firstForeign = -1;
  #lastOwn = -1;

  constructor(header: WalHeader) {
    this.#header = header;
    this.#chain = header.checksum;
    this.#previous = header.checksum;
  }

  see(frame: Uint8Array, at: number): void {
    const { page, commitPages, salt, stored } = readFrameHeader(frame, 0);
    const isOwn = salt === this.#header.salt;
    if (isOwn) this.#lastOwn = at;
    if (this.#broken === undefined) {
      const computed =
        isOwn && page > 0 ? frameChecksum(frame, this.#chain, this.#header.bigEndian) : undefined;
      if (computed !== undefined && same(computed, stored)) {
        this.#chain = computed;
        this.#valid = at + 1;
        if (commitPages > 0) this.#committed = at + 1;
        return;
      }
      this.#broken = { frame: Uint8Array.from(frame), seed: this.#chain };
      if (!isOwn) this.#foreign(at, salt);
    } else if (!isOwn) this.#foreign(at, salt);
    else if (same(frameChecksum(frame, this.#previous, this.#header.bigEndian), stored))
      this.#beyond(at, commitPages);
    this.#previous = stored;
  }

  #foreign(at: number, salt: bigint): void {
    if (this.#firstForeign < 0 && bitsOf(salt ^ this.#header.salt) > NEAR_BITS) this.#firstForeign = at;
  }

  #beyond(at: number, commitPages: number): void {
    if (commitPages > 0) this.#lastCommitBeyond = at;
  }

  verdict(size: number, options: ScanOptions): WalScan {
    const known = {
      pageSize: this.#header.pageSize,
      committedFrames: this.#committed,
      tailBytes: this.#tailBytes(size),
    };
    const damage = this.#damage(options);
    if (damage !== undefined) return { ...known, state: "damaged", damage };
    return { ...known, state: known.tailBytes > 0 ? "torn" : "sound" };
  }

  /** From the last commit to the last frame of this generation, and the part of a frame after it. */
  #tailBytes(size: number): number {
    const frameBytes = FRAME_HEADER_BYTES + this.#header.pageSize;
    const slots = Math.floor((size - WAL_HEADER_BYTES) / frameBytes);
    const end = Math.max(this.#lastOwn + 1, this.#committed);
    const rest = end === slots ? size - WAL_HEADER_BYTES - slots * frameBytes : 0;
    return (end - this.#committed) * frameBytes + rest;
  }

  #damage({ index, afterCrash = false }: ScanOptions): WalDamage | undefined {
    if (index?.salt === this.#header.salt && index.committedFrames > this.#committed)
      return this.#at("committed frames are missing or broken", index.committedFrames - this.#committed);
    if (this.#lastCommitBeyond < 0) return this.#damagedEnd();
    // The broken frame, or the next one, was never written; what is beyond was not synced either.
    if (afterCrash && this.#firstForeign >= 0 && this.#firstForeign <= this.#valid + 1) return undefined;
    return this.#at("the checksum of the frame does not match", this.#lastCommitBeyond + 1 - this.#committed);
  }

  /** The last frame of the log is broken: a crash in the middle of its write, unless a single bit makes it a sound commit. */
  #damagedEnd(): WalDamage | undefined {
    const frame = this.#broken?.frame;
    if (frame === undefined || this.#lastOwn > this.#valid) return undefined;
    const isCommit = this.#flippedBits().some(
      (bit) => readFrameHeader(mended(frame, bit), 0).commitPages > 0,
    );
    return isCommit
      ? this.#at("one bit of the frame was turned", this.#valid + 1 - this.#committed)
      : undefined;
  }

  #at(reason: string, committedBeyond: number): WalDamage {
    const [flippedBit, ...others] = this.#flippedBits();
    return {
      frame: this.#valid + 1,
      offset: WAL_HEADER_BYTES + this.#valid * (FRAME_HEADER_BYTES + this.#header.pageSize),
      reason,
      committedBeyond,
      ...(flippedBit === undefined || others.length > 0 ? {} : { flippedBit }),
    };
  }

  #flippedBits(): readonly FlippedBit[] {
    return this.#broken === undefined
      ? []
      : findFlippedBits(this.#broken.frame, this.#broken.seed, this.#header);
  }
}

/** A copy of a frame with one bit turned. */
export function mended(frame: Uint8Array, { byte, mask }: FlippedBit): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy[byte] = (copy[byte] as number) ^ mask;
  return copy;
}

function bitsOf(value: bigint): number {
  return value.toString(2).replaceAll("0", "").length;
}
