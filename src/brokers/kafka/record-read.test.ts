import * as kafka from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import type { RecordToWrite } from "./codec.ts";
import { encodeBatch } from "./record-batch.ts";
import { batchesOf, type RecordRead } from "./record-read.ts";

const numbers = { producerId: 77n, producerEpoch: 3, firstSequence: 40 };

function record(init: Partial<RecordToWrite> = {}): RecordToWrite {
  const place = { topic: "t", partition: 0 };
  return { ...place, key: null, value: Buffer.from("v"), headers: [], timestamp: 1_700_000_000_000, ...init };
}

function headersOf(read: RecordRead): readonly (readonly [string, string])[] {
  const headers = read.headers();
  const found: [string, string][] = [];
  while (headers.next()) found.push([headers.name, headers.text]);
  return found;
}

describe("records that are read where they lie", () => {
  const large = Buffer.alloc(200_000, "x");
  const records = [
    record({ key: Buffer.from("k"), headers: ["a", "Grüße", "b", Buffer.alloc(0), "name", "x".repeat(300)] }),
    record({ value: null, timestamp: 1_700_000_000_900, headers: ["a", "1"] }),
    record({ value: large, timestamp: 1_699_999_999_999 }),
    record({ value: Buffer.alloc(0), key: Buffer.alloc(0) }),
  ];

  it.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
    "are what the package reads (%s)",
    (compression) => {
      const bytes = encodeBatch(kafka, records, numbers, compression);
      const [theirs] = kafka.readRecordsBatches(kafka.Reader.from(bytes));

      const [ours, ...others] = batchesOf(kafka, Buffer.concat([bytes, Buffer.from("cut off")]));

      expect(others).toEqual([]);
      expect(ours).toMatchObject({
        firstOffset: Number(theirs?.firstOffset),
        lastOffsetDelta: theirs?.lastOffsetDelta,
        attributes: theirs?.attributes,
        firstTimestamp: Number(theirs?.firstTimestamp),
        maxTimestamp: Number(theirs?.maxTimestamp),
        producerId: theirs?.producerId,
      });
      const read = ours?.records ?? [];
      expect(read.map(({ key, value }) => ({ key, value }))).toEqual(
        theirs?.records.map(({ key, value }) => ({ key, value })),
      );
      expect(read.map((one) => [one.offsetDelta, BigInt(one.timestampDelta)])).toEqual(
        theirs?.records.map((one) => [one.offsetDelta, one.timestampDelta]),
      );
      expect(read.map(headersOf)).toEqual(
        theirs?.records.map(({ headers }) => headers.map((pair) => pair.map(String))),
      );
    },
  );

  it("know names again that differ in a letter, or come after ten thousand others", () => {
    const name = (n: number) => `header-${n}`;
    const many = Array.from({ length: 10_000 }, (_none, n) =>
      record({ headers: [name(n), String(n), "same", "s"] }),
    );

    const [batch] = batchesOf(kafka, encodeBatch(kafka, many, numbers, "none"));

    batch?.records.forEach((read, n) =>
      expect(headersOf(read)).toEqual([
        [name(n), String(n)],
        ["same", "s"],
      ]),
    );
  });

  it("do not keep what came with them alive by their value", () => {
    const bytes = encodeBatch(kafka, records, numbers, "none");
    const value = batchesOf(kafka, bytes)[0]?.records[2]?.value;
    expect(value?.buffer).not.toBe(bytes.buffer);
  });

  it("end where their bytes end, whatever number of them is said to be there", () => {
    const bytes = encodeBatch(kafka, [record({ headers: ["a", "1"] })], numbers, "none");
    bytes.writeInt32BE(2 ** 31 - 1, 57);
    // The number of headers, in zigzag, stands before the first of them.
    bytes[bytes.length - 5] = 126;

    const [batch] = batchesOf(kafka, bytes);

    expect(batch?.records).toHaveLength(1);
    expect(headersOf(batch!.records[0]!)).toEqual([["a", "1"]]);
  });

  it("are refused when they are compressed in a way that nobody knows", () => {
    const bytes = encodeBatch(kafka, records, numbers, "none");
    bytes.writeInt16BE(7, 21);
    expect(() => batchesOf(kafka, bytes)).toThrow(/compressed/);
  });
});
