import type { Api, Package } from "./client.ts";
import type { RecordToWrite } from "./codec.ts";
import type { KafkaSettings } from "./options.ts";
import { encodeBatch, type BatchNumbers } from "./record-batch.ts";

/** Records of one partition as they are sent, and sent again. */
export interface Batch extends BatchNumbers {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly RecordToWrite[];
}

/** What became of one batch. */
export interface Written {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: number;
  readonly logAppendTime: number;
}

const KEY = 0;
const VERSION = 11;
const ALL = -1;
/** Most of one batch. */
export const MAX_BATCH_BYTES = 1024 * 1024;
export const MAX_BATCH_RECORDS = 5000;
/** Of the time after which a connection is given up: the server answers before. */
const WITHIN = 0.8;

type Answer = ReturnType<Package["produceV11"]["parseResponse"]>;

/**
 * `Produce` for batches of several partitions, each with a number sequence of its own: the package's own request has one for all.
 * What it is made of is the package's.
 */
export function produceApi(
  kafka: Package,
  { compression, requestTimeoutMs }: Pick<KafkaSettings, "compression" | "requestTimeoutMs">,
): Api<[batches: readonly Batch[], transactionalId: string | null], Answer> {
  const timeoutMs = Math.floor(requestTimeoutMs * WITHIN);
  const create = (batches: readonly Batch[], transactionalId: string | null) => {
    const topics = Map.groupBy(batches, ({ topic }) => topic);
    return kafka.Writer.create()
      .appendString(transactionalId)
      .appendInt16(ALL)
      .appendInt32(timeoutMs)
      .appendArray([...topics], (writer, [topic, partitions]) => {
        writer.appendString(topic).appendArray(partitions, (inner, batch) => {
          const records = encodeBatch(kafka, batch.records, batch, compression);
          inner
            .appendInt32(batch.partition)
            .appendUnsignedVarInt(records.length + 1)
            .append(records);
        });
      })
      .appendTaggedFields();
  };
  return kafka.createAPI(KEY, VERSION, create, kafka.produceV11.parseResponse);
}

/** What an answer says of each batch; the client throws it when one of them failed. */
export function writtenOf(answer: Answer): readonly Written[] {
  return answer.responses.flatMap(({ name, partitionResponses }) =>
    partitionResponses.map(({ index, errorCode, baseOffset, logAppendTimeMs }) => ({
      topic: name,
      partition: index,
      errorCode,
      baseOffset: Number(baseOffset),
      logAppendTime: Number(logAppendTimeMs),
    })),
  );
}
