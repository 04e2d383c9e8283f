/** Bounds that hold for every message, whatever carries it. Over one is a named error at publish. */
export interface Limits {
  /** Encoded body as a broker carries it, compressed or not, bytes. Default 1 MiB. Code `MESSAGE_TOO_LARGE`. */
  readonly maxMessageBytes: number;
  /**
   * What a compressed body may become when it is restored, bytes. Default: `maxMessageBytes`. A publisher's code is
   * `MESSAGE_TOO_LARGE`, a consumer's `DECOMPRESSION_LIMIT`.
   */
  readonly maxDecompressedBytes: number;
  /** Sum of header names and values, bytes. Default 64 KiB. Code `HEADERS_TOO_LARGE`. */
  readonly maxHeaderBytes: number;
  /** Nesting of objects and arrays in a payload. Default 64. Code `DEPTH_LIMIT`. */
  readonly maxDepth: number;
  /** How many times a message may cause another before the chain is cut. Default 32. Code `HOP_LIMIT`. */
  readonly maxHops: number;
}

/** The limits in force when none are given. */
export const DEFAULT_LIMITS: Limits = {
  maxMessageBytes: 1024 * 1024,
  maxDecompressedBytes: 1024 * 1024,
  maxHeaderBytes: 64 * 1024,
  maxDepth: 64,
  maxHops: 32,
};

/** Channel names, bytes: what every broker's own limit leaves room for. */
export const MAX_CHANNEL_BYTES = 200;

/** Failures that are kept with a message, the latest among them: one that may fail for ever must not grow for ever. */
export const MAX_FAILURES = 20;

/** Message ids, characters. */
export const MAX_ID_LENGTH = 128;
