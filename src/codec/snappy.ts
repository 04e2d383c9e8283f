import { peer } from "./peer.ts";

/** What is used of the package, which is synchronous here and gives bytes. */
interface SnappyBlocks {
  readonly compressSync: (body: Uint8Array) => Buffer;
  readonly uncompressSync: (body: Uint8Array) => Buffer;
}

/** The package `snappy`. `UNSUPPORTED` where it is missing. */
export const snappy = peer("snappy", "Compression with snappy") as () => SnappyBlocks;
