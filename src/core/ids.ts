import { createHash, randomBytes, randomFillSync } from "node:crypto";
import { HeraldError } from "./errors.ts";
import { MAX_ID_LENGTH } from "./limits.ts";

const HEX = Buffer.from("0123456789abcdef", "latin1");
// Where the 16 bytes stand in the text of a UUID.
const AT = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
// 48 bits of milliseconds reach the year 10889.
const MAX_MS = 2 ** 48 - 1;
const pool = new Uint8Array(4096);
const text = Buffer.from("00000000-0000-0000-0000-000000000000", "latin1");
let used = pool.length;
let lastMs = 0;
let counter = 0;

/**
 * A UUID version 7 (RFC 9562): 48 bits of epoch milliseconds, a 12-bit counter that keeps ids of one process in order
 * within a millisecond, and 62 random bits.
 */
export function createId(epochMs: number = Date.now()): string {
  const given = Math.floor(epochMs);
  // Not Math.max: one NaN, or a time that 48 bits cannot hold, would spoil every later id of the process.
  const ms = given > lastMs && given <= MAX_MS ? given : lastMs;
  counter = ms === lastMs ? counter + 1 : 0;
  lastMs = counter > 0xfff ? ms + 1 : ms;
  if (counter > 0xfff) counter = 0;
  if (used + 8 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return format(lastMs, counter);
}

function format(ms: number, count: number): string {
  const high = Math.floor(ms / 0x10000);
  put(0, (high >>> 24) & 0xff);
  put(1, (high >>> 16) & 0xff);
  put(2, (high >>> 8) & 0xff);
  put(3, high & 0xff);
  put(4, (ms >>> 8) & 0xff);
  put(5, ms & 0xff);
  put(6, 0x70 | (count >> 8));
  put(7, count & 0xff);
  put(8, 0x80 | ((pool[used] as number) & 0x3f));
  for (let i = 9; i < 16; i++) put(i, pool[used + i - 8] as number);
  used += 8;
  // One flat string: concatenation would leave a tree of slices on the heap.
  return text.toString("latin1");
}

function put(index: number, byte: number): void {
  const at = AT[index] as number;
  text[at] = HEX[byte >> 4] as number;
  text[at + 1] = HEX[byte & 15] as number;
}

/** The 48 bits that begin a UUID; those of version 7 are its time. */
const BEGINNING = /^[0-9a-f]{8}-[0-9a-f]{4}-/;

/**
 * A UUID version 8 (RFC 9562) from a SHA-256 of `seed`: the same for the same seed. It begins as the UUID `near` does, so that ids
 * lie beside each other, in the order of their time, where a store keeps them sorted.
 */
export function derivedId(seed: string, near?: string): string {
  const hex = createHash("sha256").update(seed).digest("hex");
  const beginning = near === undefined ? undefined : BEGINNING.exec(near)?.[0];
  return `${beginning ?? `${hex.slice(0, 8)}-${hex.slice(8, 12)}-`}8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** `length` random lower-case hexadecimal characters, from the system's generator. */
export function randomHex(length: number): string {
  return randomBytes(Math.ceil(length / 2))
    .toString("hex")
    .slice(0, length);
}

/** Rejects with `INVALID_ARGUMENT` what is not 1 to 128 printable ASCII characters without spaces. */
export function checkId(id: unknown, field = "id"): asserts id is string {
  if (typeof id === "string" && id.length <= MAX_ID_LENGTH && /^[\x21-\x7e]+$/.test(id)) return;
  throw new HeraldError(
    "INVALID_ARGUMENT",
    `${field} must be 1 to 128 printable ASCII characters without spaces.`,
    {
      details: { field },
    },
  );
}
