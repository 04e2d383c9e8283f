import type { Envelope } from "../../core/envelope.ts";
import type { Package } from "./client.ts";
import { channelOfRecord, envelopeOfRecord, onceIdOf } from "./codec.ts";
import type { FetchedPart } from "./fetch-api.ts";
import { batchesOf, type RecordRead } from "./record-read.ts";

const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;
const LOG_APPEND_TIME = 1 << 3;
const ABORT = 0;

/** One record of a partition; it is decoded once, by whoever wants it first, and from then on the bytes around it are not kept. */
export class Fetched {
  readonly offset: number;
  readonly storedAt: number;
  readonly partition: number;
  #record: RecordRead | undefined;
  #channel: string | undefined;
  #onceId: string | undefined;
  #envelope: Envelope | undefined;

  constructor(
    record: RecordRead,
    place: { readonly partition: number; readonly offset: number; readonly storedAt: number },
  ) {
    this.#record = record;
    this.partition = place.partition;
    this.offset = place.offset;
    this.storedAt = place.storedAt;
  }

  /** The channel that it names itself: those of a shared topic do. */
  get channel(): string {
    if (this.#record !== undefined) this.#channel ??= channelOfRecord(this.#record);
    return this.#channel ?? "";
  }

  /** Its id, when it is to be recognised. */
  get onceId(): string | undefined {
    return this.#record === undefined ? this.#onceId : onceIdOf(this.#record);
  }

  get key(): Buffer | null {
    return this.#record?.key ?? null;
  }

  get value(): Buffer | null {
    return this.#record?.value ?? null;
  }

  envelope(channel: string): Envelope {
    const record = this.#record;
    if (record !== undefined) {
      this.#channel ??= channelOfRecord(record);
      this.#onceId = onceIdOf(record);
      const id = `${this.partition}-${this.offset}`;
      this.#envelope = envelopeOfRecord(record, { channel, id, storedAt: this.storedAt });
      this.#record = undefined;
    }
    return this.#envelope as Envelope;
  }
}

/** What was read of a partition: records that are committed, and where to go on. */
export interface Portion {
  readonly records: readonly Fetched[];
  /** The offset behind everything that was looked at. */
  readonly next: number;
}

/** Takes batches apart. What belongs to transactions that were given up is left out, as are the marks of transactions. */
export function portionOf(
  kafka: Pick<Package, "compressionsAlgorithms">,
  {
    records: bytes,
    aborted,
    partitionIndex: partition,
  }: Pick<FetchedPart, "records" | "aborted" | "partitionIndex">,
  from: number,
): Portion {
  const records: Fetched[] = [];
  let next = from;
  const pending = aborted.toSorted((a, b) => Number(a.firstOffset - b.firstOffset));
  const given = new Set<bigint>();
  for (const batch of batchesOf(kafka, bytes)) {
    const first = batch.firstOffset;
    const last = first + batch.lastOffsetDelta;
    next = Math.max(next, last + 1);
    while (pending[0] !== undefined && Number(pending[0].firstOffset) <= last) {
      given.add(pending[0].producerId);
      pending.shift();
    }
    if ((batch.attributes & CONTROL) !== 0) {
      if (batch.records[0]?.key?.readInt16BE(2) === ABORT) given.delete(batch.producerId);
      continue;
    }
    if ((batch.attributes & TRANSACTIONAL) !== 0 && given.has(batch.producerId)) continue;
    const appended = (batch.attributes & LOG_APPEND_TIME) !== 0;
    for (const record of batch.records) {
      const offset = first + record.offsetDelta;
      if (offset < from) continue;
      const storedAt = appended ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta;
      records.push(new Fetched(record, { partition, offset, storedAt }));
    }
  }
  return { records, next };
}
