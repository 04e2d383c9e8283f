import * as kafka from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import type { RecordToWrite } from "./codec.ts";
import { encodeBatch } from "./record-batch.ts";

const numbers = { producerId: 77n, producerEpoch: 3, firstSequence: 40 };
const place = { topic: "t", partition: 0 };

function record(init: Partial<RecordToWrite> = {}): RecordToWrite {
  return { ...place, key: null, value: Buffer.from("v"), headers: [], timestamp: 1_700_000_000_000, ...init };
}

describe("a batch of records", () => {
  it.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
    "is read by the package as it was written (%s)",
    (compression) => {
      const large = Buffer.alloc(200_000, "x");
      const records = [
        record({
          key: Buffer.from("k"),
          headers: [
            Buffer.from("a"),
            "Grüße",
            "b",
            Buffer.alloc(0),
            "c",
            "x".repeat(63),
            "d",
            "y".repeat(64),
          ],
        }),
        record({ value: null, timestamp: 1_700_000_000_900 }),
        record({ value: large, timestamp: 1_699_999_999_999 }),
        record({ value: Buffer.alloc(0) }),
      ];

      const bytes = encodeBatch(kafka, records, numbers, compression);

      const [batch, ...others] = kafka.readRecordsBatches(kafka.Reader.from(bytes));
      expect(others).toEqual([]);
      expect(batch).toMatchObject({
        firstOffset: 0n,
        magic: 2,
        lastOffsetDelta: 3,
        firstTimestamp: 1_700_000_000_000n,
        maxTimestamp: 1_700_000_000_900n,
        ...numbers,
      });
      expect(batch?.crc).toBe(kafka.crc32c(bytes.subarray(21)) >>> 0);
      expect(batch?.records.map(({ offsetDelta, timestampDelta }) => [offsetDelta, timestampDelta])).toEqual([
        [0, 0n],
        [1, 900n],
        [2, -1n],
        [3, 0n],
      ]);
      expect(batch?.records.map(({ key }) => key?.toString())).toEqual([
        "k",
        undefined,
        undefined,
        undefined,
      ]);
      expect(batch?.records[0]?.headers.map((pair) => pair.map(String))).toEqual([
        ["a", "Grüße"],
        ["b", ""],
        ["c", "x".repeat(63)],
        ["d", "y".repeat(64)],
      ]);
      expect(batch?.records[1]?.value).toBeNull();
      expect(batch?.records[2]?.value?.equals(large)).toBe(true);
      expect(batch?.records[3]?.value).toHaveLength(0);
    },
  );

  it("is what the package itself writes, byte for byte", () => {
    const records = [
      record({ key: Buffer.from("k") }),
      record({ headers: [Buffer.from("n"), Buffer.from("1")] }),
    ];
    const theirs = kafka.createRecordsBatch(
      records.map(({ key, value, headers, timestamp }) => ({
        ...place,
        ...(key === null ? {} : { key }),
        value: value as Buffer,
        headers: new Map(headers.length === 0 ? [] : [[headers[0] as Buffer, headers[1] as Buffer]]),
        timestamp: BigInt(timestamp),
      })),
      {
        compression: "none",
        producerId: 77n,
        producerEpoch: 3,
        sequences: new kafka.NumericMap([["t:0", 40]]),
        partitionLeaderEpoch: -1,
      },
    ).buffer;

    expect(encodeBatch(kafka, records, numbers, "none").equals(theirs)).toBe(true);
  });
});
