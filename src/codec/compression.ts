import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { HeraldError, showValue } from "../core/errors.ts";
import { snappy } from "./snappy.ts";

/** How a body can be compressed: RFC 1952, RFC 8878, the block format of Snappy. */
export const ENCODINGS = ["gzip", "zstd", "snappy"] as const;

/** One of {@link ENCODINGS}. */
export type Encoding = (typeof ENCODINGS)[number];

/** What is compressed, and how. */
export interface CompressionPlan {
  readonly encoding: Encoding;
  /** Smaller bodies stay as they are. */
  readonly thresholdBytes: number;
  /** The technology's own level; undefined: the one that is used here. */
  readonly level: number | undefined;
}

/** Level 1 of gzip takes a third of the time of its default 6, for a few hundredths more bytes. */
const GZIP_LEVEL = 1;
/** 8 MiB: what RFC 9659 lets a content encoding ask of its reader. */
const ZSTD_WINDOW_LOG = 23;
/** More than any buffer here becomes; `Infinity` is no length. */
const MOST_BYTES = 2 ** 31 - 1;

interface Method {
  readonly compress: (body: Uint8Array, level: number | undefined) => Uint8Array;
  /** Throws `DECOMPRESSION_LIMIT` before more than `maxBytes` are made. */
  readonly restore: (body: Uint8Array, maxBytes: number) => Uint8Array;
}

const METHODS: Readonly<Record<Encoding, Method>> = {
  gzip: {
    compress: (body, level) => gzipSync(body, { level: level ?? GZIP_LEVEL }),
    restore: (body, maxOutputLength) => whole(gunzipSync(body, { maxOutputLength, info: true }), body),
  },
  zstd: {
    compress: (body, level) =>
      level === undefined
        ? zstdCompressSync(body)
        : zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: level } }),
    restore: (body, maxOutputLength) =>
      whole(zstdDecompressSync(body, { maxOutputLength, info: true, params: ZSTD_LIMITS }), body),
  },
  snappy: {
    compress: (body) => snappy().compressSync(body),
    restore: (body, maxBytes) => {
      if (snappyLength(body) > maxBytes) throw overLimit("snappy", maxBytes);
      return snappy().uncompressSync(body);
    },
  },
};

const ZSTD_LIMITS = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG };

/** A body as `plan` says, or undefined when it is not worth it: below the threshold, or no smaller afterwards. */
export function compress(body: Uint8Array, plan: CompressionPlan): Uint8Array | undefined {
  if (body.byteLength < plan.thresholdBytes) return undefined;
  const smaller = METHODS[plan.encoding].compress(body, plan.level);
  return smaller.byteLength < body.byteLength ? smaller : undefined;
}

/**
 * The body that was compressed, one layer. Never makes more than `maxBytes`: `DECOMPRESSION_LIMIT`. `UNSUPPORTED` for an
 * encoding that is not known, and where the package for it is missing; `MALFORMED` for what is cut short, damaged, or goes
 * on behind its end.
 */
export function restore(body: Uint8Array, contentEncoding: string, maxBytes: number): Uint8Array {
  const name = contentEncoding.trim().toLowerCase();
  if (name === "identity" || name === "") return body;
  const encoding = ENCODINGS.find((known) => known === name || `x-${known}` === name);
  if (encoding === undefined) throw unknown(contentEncoding);
  const limit = Math.min(Math.floor(maxBytes), MOST_BYTES);
  try {
    return METHODS[encoding].restore(body, limit);
  } catch (error) {
    throw failed(error, encoding, limit);
  }
}

interface Informed {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/** Node reads the first frame and says nothing of what follows. */
function whole(result: unknown, body: Uint8Array): Uint8Array {
  const { buffer, engine } = result as Informed;
  if (engine.bytesWritten === body.byteLength) return buffer;
  throw new Error(`it ends after ${engine.bytesWritten} of ${body.byteLength} bytes`);
}

/** What a block of Snappy says that it becomes: a number of up to 32 bits in front, seven a byte, the lowest first. */
function snappyLength(body: Uint8Array): number {
  let length = 0;
  for (let at = 0; at < 5; at++) {
    const byte = body[at];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return length;
  }
  throw new Error("it has no length in front");
}

function failed(error: unknown, encoding: Encoding, maxBytes: number): unknown {
  if (error instanceof HeraldError) return error;
  const { code, message } = error as Error & { readonly code?: string };
  if (code === "ERR_BUFFER_TOO_LARGE") return overLimit(encoding, maxBytes);
  return new HeraldError("MALFORMED", `The body is not ${encoding}, which it says it is: ${message}.`, {
    details: { contentEncoding: encoding },
    cause: error,
  });
}

function overLimit(encoding: Encoding, maxBytes: number): HeraldError {
  const message = `The body, restored from ${encoding}, has more than ${maxBytes} bytes: send less, or raise limits.maxDecompressedBytes.`;
  return new HeraldError("DECOMPRESSION_LIMIT", message, {
    details: { contentEncoding: encoding, maxBytes },
  });
}

function unknown(contentEncoding: string): HeraldError {
  const message = `The body is encoded as ${showValue(contentEncoding)}, which is not read here: use one of ${ENCODINGS.join(", ")}, and one layer only.`;
  return new HeraldError("UNSUPPORTED", message, { details: { contentEncoding } });
}
