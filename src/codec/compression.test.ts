import { constants, createZstdCompress, gzipSync, zstdCompressSync } from "node:zlib";
import { compressSync } from "snappy";
import { describe, expect, it } from "vitest";
import { compress, ENCODINGS, restore, type CompressionPlan, type Encoding } from "./compression.ts";

const LIMIT = 1024 * 1024;
const text = Buffer.from("all work and no play makes a dull message ".repeat(200));
const code = (expected: string) => expect.objectContaining({ code: expected });
const plan = (encoding: Encoding, more: Partial<CompressionPlan> = {}): CompressionPlan => ({
  encoding,
  thresholdBytes: 0,
  level: undefined,
  ...more,
});
/** A number as Snappy writes a length. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(Math.floor(value / 0x80))];
}

describe("a body that was compressed", () => {
  it.each(ENCODINGS)("with %s is smaller, and the same again when it is restored", (encoding) => {
    const smaller = compress(text, plan(encoding));

    expect(smaller?.byteLength).toBeLessThan(text.byteLength / 4);
    expect(Buffer.from(restore(smaller as Uint8Array, encoding, LIMIT)).equals(text)).toBe(true);
  });

  it("takes a level where its technology has levels", () => {
    for (const encoding of ["gzip", "zstd"] as const) {
      const [fast, small] = [1, 9].map((level) => compress(text, plan(encoding, { level }))?.byteLength ?? 0);
      expect(small).toBeLessThanOrEqual(fast as number);
    }
  });

  it("below the threshold, or no smaller for it, stays as it is", () => {
    const noise = Uint8Array.from({ length: 500 }, () => Math.random() * 256);
    for (const encoding of ENCODINGS) {
      expect(compress(text, plan(encoding, { thresholdBytes: text.byteLength + 1 }))).toBeUndefined();
      expect(compress(text, plan(encoding, { thresholdBytes: text.byteLength }))).toBeDefined();
      expect(compress(noise, plan(encoding))).toBeUndefined();
    }
  });

  it("is restored under any spelling of its encoding, and `identity` is none", () => {
    expect(Buffer.from(restore(gzipSync(text), " GZIP ", LIMIT)).equals(text)).toBe(true);
    expect(Buffer.from(restore(gzipSync(text), "x-gzip", LIMIT)).equals(text)).toBe(true);
    expect(restore(text, "identity", 1)).toBe(text);
    expect(restore(text, "", 1)).toBe(text);
  });
});

describe("a body that is not to be trusted", () => {
  it.each(["br", "gzip, gzip", "gzip,zstd", "deflate", "constructor", "__proto__", "x".repeat(5000)])(
    "of the encoding %j is UNSUPPORTED",
    (encoding) => {
      expect(() => restore(text, encoding, LIMIT)).toThrow(code("UNSUPPORTED"));
    },
  );

  it.each(ENCODINGS)("of %s that is none, or nothing, is MALFORMED", (encoding) => {
    for (const body of [new Uint8Array(0), Buffer.from("{}"), Buffer.alloc(100, 0xff)]) {
      expect(() => restore(body, encoding, LIMIT)).toThrow(code("MALFORMED"));
    }
  });

  it.each<[Encoding, Uint8Array]>([
    ["gzip", gzipSync(text)],
    ["zstd", zstdCompressSync(text)],
    ["snappy", compressSync(text)],
  ])(
    "of %s that is cut short, or goes on behind its end, is MALFORMED: nothing is left out in silence",
    (encoding, body) => {
      for (const kept of [1, 10, body.byteLength - 1])
        expect(() => restore(body.subarray(0, kept), encoding, LIMIT)).toThrow(code("MALFORMED"));
      const behind = Buffer.concat([body, Buffer.from("more")]);
      expect(() => restore(behind, encoding, LIMIT)).toThrow(code("MALFORMED"));
    },
  );

  it("of two frames of zstd, the second of which Node would drop, is MALFORMED; of two members of gzip is both", () => {
    const [zstd, gzip] = [zstdCompressSync(text), gzipSync(text)];
    expect(() => restore(Buffer.concat([zstd, zstd]), "zstd", LIMIT)).toThrow(code("MALFORMED"));
    const both = restore(Buffer.concat([gzip, gzip]), "gzip", LIMIT);
    expect(Buffer.from(both).equals(Buffer.concat([text, text]))).toBe(true);
  });

  it.each<[Encoding, () => Uint8Array]>([
    ["gzip", () => gzipSync(Buffer.alloc(100 * LIMIT))],
    ["zstd", () => zstdCompressSync(Buffer.alloc(100 * LIMIT))],
    ["snappy", () => compressSync(Buffer.alloc(100 * LIMIT)).subarray(0, LIMIT)],
  ])("of %s that becomes 100 MiB is DECOMPRESSION_LIMIT before it has", (encoding, make) => {
    const bomb = make();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 20; i++)
      expect(() => restore(bomb, encoding, LIMIT)).toThrow(code("DECOMPRESSION_LIMIT"));
    expect(process.memoryUsage().rss - before).toBeLessThan(90 * LIMIT);
  });

  it.each(ENCODINGS)("of %s may become as large as the limit, and not one byte larger", (encoding) => {
    const body = compress(text, plan(encoding)) as Uint8Array;
    expect(restore(body, encoding, text.byteLength).byteLength).toBe(text.byteLength);
    expect(restore(body, encoding, Infinity).byteLength).toBe(text.byteLength);
    expect(() => restore(body, encoding, text.byteLength - 1)).toThrow(code("DECOMPRESSION_LIMIT"));
  });

  it("of snappy that says it becomes four thousand million bytes is believed, and refused", () => {
    const lie = Uint8Array.from([...varint(2 ** 32 - 1), 0]);
    expect(() => restore(lie, "snappy", LIMIT)).toThrow(code("DECOMPRESSION_LIMIT"));
    const short = Uint8Array.from([...varint(1000), 0, 0x61]);
    expect(() => restore(short, "snappy", LIMIT)).toThrow(code("MALFORMED"));
    expect(() => restore(new Uint8Array(6).fill(0xff), "snappy", LIMIT)).toThrow(code("MALFORMED"));
  });

  it("of zstd that wants a window of more than 8 MiB is MALFORMED", async () => {
    const stream = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 27 } });
    stream.write("a");
    stream.end("b");
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk as Uint8Array);
    const body = Buffer.concat(chunks);
    expect(() => restore(body, "zstd", LIMIT)).toThrow(code("MALFORMED"));
  });
});
