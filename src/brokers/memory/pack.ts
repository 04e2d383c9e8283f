import {
  createEnvelope,
  JSON_TYPE,
  NO_HEADERS,
  type Envelope,
  type EnvelopeInit,
} from "../../core/envelope.ts";
import type { Failure } from "../../core/delivery.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import { Entry, type EntryQueue } from "./entry.ts";

/** Times are kept to the microsecond. */
const MICROS = 1000;

type Rest = Omit<EnvelopeInit, "body" | "id" | "channel" | "source" | "time" | "correlationId">;

interface Extra {
  readonly rest?: Rest;
  readonly attempt?: number;
  readonly failures?: readonly Failure[];
}

/** Most messages are plain: a few short values say all but their body. Numbers and names are set against the first row's. */
type Row = readonly [
  sequence: number,
  bodyBytes: number,
  id: string,
  time: number,
  source: string | 0,
  channel: string | 0,
  correlationId: string | 0 | null,
  extra?: Extra,
];

/** A run of waiting entries as two buffers: a deep backlog then costs its bytes, not its objects. */
export interface Packed {
  readonly first: First;
  readonly rows: Buffer;
  readonly bodies: Buffer;
}

/** What the rows of a run have in common, or nearly. */
interface First {
  readonly sequence: number;
  readonly time: number;
  readonly source: string;
  readonly channel: string;
}

/** Packs entries whose envelopes nobody else holds. */
export function pack(entries: readonly Entry[]): Packed {
  let size = 0;
  for (const entry of entries) size += entry.envelope.body.byteLength;
  const bodies = Buffer.allocUnsafeSlow(size);
  const first = firstOf(entries);
  const rows: Row[] = [];
  let offset = 0;
  for (const entry of entries) {
    bodies.set(entry.envelope.body, offset);
    offset += entry.envelope.body.byteLength;
    rows.push(rowOf(entry, first));
  }
  const text = JSON.stringify(rows);
  const packed = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  packed.write(text);
  return { first, rows: packed, bodies };
}

/** The entries again, in their order. */
export function unpack(packed: Packed, queue: EntryQueue): Entry[] {
  const rows = JSON.parse(packed.rows.toString()) as Row[];
  let offset = 0;
  const { first } = packed;
  return rows.map(([sequence, bodyBytes, id, time, source, channel, correlation, extra]) => {
    const body = packed.bodies.subarray(offset, offset + bodyBytes);
    offset += bodyBytes;
    const correlationId = correlation === 0 ? id : (correlation ?? undefined);
    const envelope = createEnvelope({
      ...extra?.rest,
      id,
      channel: channel === 0 ? first.channel : channel,
      source: source === 0 ? first.source : source,
      time: first.time + time / MICROS,
      body,
      correlationId,
    });
    const history = { attempt: extra?.attempt ?? 1, failures: extra?.failures ?? NO_FAILURES };
    return new Entry(
      queue,
      envelope,
      { sequence: first.sequence + sequence, tally: queue.tallyOf(envelope.channel) },
      history,
    );
  });
}

function firstOf(entries: readonly Entry[]): First {
  const { envelope, sequence } = entries[0] as Entry;
  return { sequence, time: Math.floor(envelope.time), source: envelope.source, channel: envelope.channel };
}

function rowOf(entry: Entry, first: First): Row {
  const { id, correlationId, body } = entry.envelope;
  const source = entry.envelope.source === first.source ? 0 : entry.envelope.source;
  const channel = entry.envelope.channel === first.channel ? 0 : entry.envelope.channel;
  const time = Math.round((entry.envelope.time - first.time) * MICROS);
  const correlation = correlationId === id ? 0 : (correlationId ?? null);
  const sequence = entry.sequence - first.sequence;
  const extra = extraOf(entry);
  if (extra === undefined) return [sequence, body.byteLength, id, time, source, channel, correlation];
  return [sequence, body.byteLength, id, time, source, channel, correlation, extra];
}

function extraOf(entry: Entry): Extra | undefined {
  const plain = isPlain(entry.envelope);
  if (plain && entry.attempt === 1) return undefined;
  const {
    body: _,
    id: _id,
    channel: _channel,
    source: _source,
    time: _time,
    correlationId: _correlation,
    headers,
    ...others
  } = entry.envelope;
  // Absent headers stay the shared ones, which tell that there are none.
  const rest = headers === NO_HEADERS ? others : { ...others, headers };
  return { ...(plain ? {} : { rest }), attempt: entry.attempt, failures: entry.failures };
}

function isPlain(envelope: Envelope): boolean {
  return (
    envelope.contentType === JSON_TYPE &&
    envelope.contentEncoding === undefined &&
    envelope.headers === NO_HEADERS &&
    envelope.priority === DEFAULT_PRIORITY &&
    envelope.hops === 0 &&
    envelope.key === undefined &&
    envelope.type === undefined &&
    envelope.to === undefined &&
    envelope.causationId === undefined &&
    envelope.replyTo === undefined &&
    envelope.traceparent === undefined &&
    envelope.expiresAt === undefined &&
    envelope.deliverAt === undefined &&
    envelope.origin === undefined &&
    envelope.provenance === undefined
  );
}
