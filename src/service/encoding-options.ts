import type { PayloadCodec } from "../codec/codec.ts";
import type { Encoding } from "../codec/compression.ts";

/** What is compressed, and how. */
export interface CompressionOptions {
  readonly encoding: Encoding;
  /** Smaller bodies stay as they are. Default 1024. */
  readonly thresholdBytes?: number;
  /** The technology's own: gzip 0 to 9 (default 1), zstd -7 to 19 (default 3); snappy has none. */
  readonly level?: number;
}

/** `zstd` and `gzip` come with Node, `snappy` needs the package of that name. */
export type Compression = "none" | Encoding | CompressionOptions;

/** How the payloads of some channels are written. */
export interface EncodingOptions {
  readonly contentType?: string | undefined;
  /** Instead of a content type. */
  readonly codec?: PayloadCodec | undefined;
  readonly compression?: Compression | undefined;
}

/** A content type, a codec, or everything that can be said. */
export type CodecChoice = string | PayloadCodec | EncodingOptions;
