import * as kafka from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import { portionOf } from "./fetched.ts";
import { encodeBatch } from "./record-batch.ts";

type Part = Parameters<typeof portionOf>[1];

const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;
const APPEND_TIME = 1 << 3;

interface Changes {
  readonly attributes?: number;
  readonly producerId?: bigint;
  readonly lastOffsetDelta?: number;
  readonly key?: Buffer;
}

/** A batch of so many records at an offset, as a server has it. */
function batch(first: number, count: number, changes: Changes = {}): Buffer {
  const { attributes = 0, producerId = 1n, lastOffsetDelta = count - 1, key = null } = changes;
  const records = Array.from({ length: count }, (_none, n) => ({
    topic: "t",
    partition: 0,
    key,
    value: Buffer.from(`v${first + n}`),
    headers: [],
    timestamp: 1000 + n,
  }));
  const bytes = encodeBatch(kafka, records, { producerId, producerEpoch: 0, firstSequence: 0 }, "none");
  bytes.writeBigInt64BE(BigInt(first), 0);
  bytes.writeInt16BE(attributes, 21);
  bytes.writeInt32BE(lastOffsetDelta, 23);
  bytes.writeBigInt64BE(2000n, 35);
  return bytes;
}

/** The mark that a transaction was given up (0) or committed (1). */
function mark(offset: number, kind: 0 | 1, producerId: bigint): Buffer {
  const key = Buffer.from([0, 0, 0, kind]);
  return batch(offset, 1, { attributes: TRANSACTIONAL | CONTROL, producerId, key });
}

const read = (batches: readonly Buffer[], from: number, aborted: Part["aborted"] = []) =>
  portionOf(kafka, { records: Buffer.concat(batches), aborted, partitionIndex: 0 }, from);

const offsetsOf = (batches: readonly Buffer[], from = 0, aborted: Part["aborted"] = []) => {
  const { records, next } = read(batches, from, aborted);
  return { offsets: records.map(({ offset }) => offset), next };
};

describe("what was read of a partition", () => {
  it("begins where it was asked to, though batches begin before", () => {
    expect(offsetsOf([batch(10, 5)], 12)).toEqual({ offsets: [12, 13, 14], next: 15 });
  });

  it("goes on behind a batch whose last records are compacted away", () => {
    expect(offsetsOf([batch(0, 2, { lastOffsetDelta: 9 })])).toEqual({ offsets: [0, 1], next: 10 });
  });

  it("ends before a batch that is cut off", () => {
    const whole = batch(0, 2);
    expect(offsetsOf([whole, batch(2, 2).subarray(0, -1)])).toEqual({ offsets: [0, 1], next: 2 });
    expect(offsetsOf([whole.subarray(0, 30)])).toEqual({ offsets: [], next: 0 });
  });

  it("stays where it is when nothing came", () => {
    expect(offsetsOf([], 7)).toEqual({ offsets: [], next: 7 });
  });

  it("leaves out what belongs to a transaction that was given up, and the marks of all", () => {
    const batches = [
      batch(0, 2, { attributes: TRANSACTIONAL, producerId: 5n }),
      batch(2, 1, { attributes: TRANSACTIONAL, producerId: 6n }),
      mark(3, 0, 5n),
      mark(4, 1, 6n),
      batch(5, 1, { attributes: TRANSACTIONAL, producerId: 5n }),
      mark(6, 1, 5n),
      batch(7, 1),
    ];

    expect(offsetsOf(batches, 0, [{ producerId: 5n, firstOffset: 0n }])).toEqual({
      offsets: [2, 5, 7],
      next: 8,
    });
  });

  it("has the cluster's own time where the topic is kept so, and the writer's elsewhere", () => {
    const times = (attributes: number) =>
      read([batch(0, 2, { attributes })], 0).records.map(({ storedAt }) => storedAt);

    expect(times(APPEND_TIME)).toEqual([2000, 2000]);
    expect(times(0)).toEqual([1000, 1001]);
  });
});
