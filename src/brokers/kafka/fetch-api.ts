import type { Api, Package } from "./client.ts";

/** What came of one partition. */
export interface FetchedPart {
  readonly partitionIndex: number;
  readonly errorCode: number;
  readonly logStartOffset: number;
  /** Transactions that were given up and have records here. */
  readonly aborted: readonly Aborted[];
  /** Batches as the log has them; the last may be cut off. */
  readonly records: Buffer;
}

/** A transaction that was given up. */
export interface Aborted {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

/** The answer to one request. It may hold errors. */
export interface FetchAnswer {
  readonly errorCode: number;
  readonly topics: readonly { readonly topicId: string; readonly partitions: readonly FetchedPart[] }[];
}

type Reader = Parameters<Package["fetchV17"]["parseResponse"]>[3];

const KEY = 1;
const VERSION = 17;
const NOTHING = Buffer.alloc(0);

/**
 * `Fetch`, whose records are left as they lie in the answer: the package's own makes two buffers of every header of every
 * record, also of those that nobody here reads.
 */
export function fetchApi(kafka: Package): Api<Parameters<Package["fetchV17"]["createRequest"]>, FetchAnswer> {
  return kafka.createAPI(KEY, VERSION, kafka.fetchV17.createRequest, (_id, _key, _version, reader) =>
    answerOf(reader),
  );
}

function answerOf(reader: Reader): FetchAnswer {
  // How long the server held back.
  reader.readInt32();
  const errorCode = reader.readInt16();
  // The session, which is not used.
  reader.readInt32();
  const topics = reader.readArray((topic) => ({
    topicId: topic.readUUID(),
    partitions: topic.readArray((part) => partOf(part), true, false),
  }));
  return { errorCode, topics };
}

function partOf(reader: Reader): FetchedPart {
  const partitionIndex = reader.readInt32();
  const errorCode = reader.readInt16();
  // The ends of the log and of what is committed.
  reader.readInt64();
  reader.readInt64();
  const logStartOffset = Number(reader.readInt64());
  const aborted = reader.readNullableArray((one) => ({
    producerId: one.readInt64(),
    firstOffset: one.readInt64(),
  }));
  // Where else it could be read.
  reader.readInt32();
  const length = reader.readUnsignedVarInt() - 1;
  let records: Buffer = NOTHING;
  if (length > 0) {
    // In one piece, whatever the pieces in which it came.
    records = reader.buffer.slice(reader.position, reader.position + length);
    reader.skip(length);
  }
  reader.readTaggedFields();
  return { partitionIndex, errorCode, logStartOffset, aborted: aborted ?? [], records };
}
