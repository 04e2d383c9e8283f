import { FRAME_HEADER_BYTES, frameChecksum, readFrameHeader, same, type Checksum } from "./wal-format.ts";

/** One bit of a frame that is not what was written. */
export interface FlippedBit {
  /** Byte from the frame's start. */
  readonly byte: number;
  /** The byte with only this bit set. */
  readonly mask: number;
}

const SALT_AT = 8;
const CHECKSUM_AT = 16;

/**
 * Finds the bits of which one, turned, makes a frame sound. SQLite's checksum is linear, so that each bit changes it by an
 * amount that can be computed; the high bits of a word share theirs with those of other words. A torn frame passes for one
 * with a flipped bit once in 10^12 times. Empty when no single bit explains it.
 */
export function findFlippedBits(
  frame: Uint8Array,
  seed: Checksum,
  log: { readonly salt: bigint; readonly bigEndian: boolean },
): readonly FlippedBit[] {
  const { salt, stored } = readFrameHeader(frame, 0);
  const computed = frameChecksum(frame, seed, log.bigEndian);
  if (same(computed, stored)) return bitOf(SALT_AT, salt ^ log.salt);
  if (salt !== log.salt) return [];
  const inChecksum = bitOf(CHECKSUM_AT, joined(computed) ^ joined(stored));
  return [...inChecksum, ...inCovered(frame, computed, stored, log.bigEndian)];
}

function joined({ s0, s1 }: Checksum): bigint {
  return (BigInt(s0) << 32n) | BigInt(s1);
}

/** The bit of a field of eight bytes, big end first, when `difference` has exactly one. */
function bitOf(at: number, difference: bigint): readonly FlippedBit[] {
  if (difference === 0n || (difference & (difference - 1n)) !== 0n) return [];
  const bit = difference.toString(2).length - 1;
  return [{ byte: at + 7 - (bit >> 3), mask: 1 << (bit & 7) }];
}

function inCovered(
  frame: Uint8Array,
  computed: Checksum,
  stored: Checksum,
  bigEndian: boolean,
): FlippedBit[] {
  const found: FlippedBit[] = [];
  const d0 = (computed.s0 - stored.s0) | 0;
  const d1 = (computed.s1 - stored.s1) | 0;
  // What one more in a pair's first and second word adds to both sums at the end, from the last pair backwards.
  let [first0, first1, second0, second1] = [1, 1, 0, 1];
  for (let at = frame.length - 8; at >= 0; at -= 8) {
    if (at === FRAME_HEADER_BYTES - 8) at = 0;
    const first = turned(first0, first1, d0, d1);
    if (first !== undefined) found.push(placed(at, first, bigEndian));
    const second = turned(second0, second1, d0, d1);
    if (second !== undefined) found.push(placed(at + 4, second, bigEndian));
    [first0, first1] = [(first0 + first1) | 0, (first0 + 2 * first1) | 0];
    [second0, second1] = [(second0 + second1) | 0, (second0 + 2 * second1) | 0];
  }
  return found;
}

/** The bit of a word that changes the sums by this difference, one way or the other. */
function turned(weight0: number, weight1: number, d0: number, d1: number): number | undefined {
  for (let bit = 0; bit < 32; bit += 1) {
    const e0 = weight0 << bit;
    const e1 = weight1 << bit;
    if ((e0 === d0 && e1 === d1) || ((-e0 | 0) === d0 && (-e1 | 0) === d1)) return bit;
  }
  return undefined;
}

function placed(at: number, bit: number, bigEndian: boolean): FlippedBit {
  const within = bigEndian ? 3 - (bit >> 3) : bit >> 3;
  return { byte: at + within, mask: 1 << (bit & 7) };
}
