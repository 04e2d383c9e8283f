import { createEnvelope, JSON_TYPE, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import type { Failure } from "../../core/delivery.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { Entry, NO_FAILURES, type EntryQueue } from "./entry.ts";

type Rest = Omit<Envelope, "body" | "id" | "channel" | "source" | "time" | "correlationId">;

interface Extra {
  readonly rest?: Rest;
  readonly attempt?: number;
  readonly failures?: readonly Failure[];
}

/** Most messages are plain: five values say all but their body. */
type Row = readonly [
  sequence: number,
  bodyBytes: number,
  id: string,
  source: string,
  time: number,
  channel: string,
  correlationId: string | 0,
  extra?: Extra,
];

/** A run of waiting entries as two buffers: a deep backlog then costs its bytes, not its objects. */
export interface Packed {
  readonly rows: Buffer;
  readonly bodies: Buffer;
}

/** Packs entries whose envelopes nobody else holds. */
export function pack(entries: readonly Entry[]): Packed {
  let size = 0;
  for (const entry of entries) size += entry.envelope.body.byteLength;
  const bodies = Buffer.allocUnsafeSlow(size);
  const rows: Row[] = [];
  let offset = 0;
  for (const entry of entries) {
    bodies.set(entry.envelope.body, offset);
    offset += entry.envelope.body.byteLength;
    rows.push(rowOf(entry));
  }
  const text = JSON.stringify(rows);
  const packed = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  packed.write(text);
  return { rows: packed, bodies };
}

/** The entries again, in their order. */
export function unpack(packed: Packed, queue: EntryQueue): Entry[] {
  const rows = JSON.parse(packed.rows.toString()) as Row[];
  let offset = 0;
  return rows.map(([sequence, bodyBytes, id, source, time, channel, correlation, extra]) => {
    const body = packed.bodies.subarray(offset, offset + bodyBytes);
    offset += bodyBytes;
    const correlationId = correlation === 0 ? id : correlation;
    const envelope = createEnvelope({ ...extra?.rest, id, channel, source, time, body, correlationId: correlationId || undefined });
    const history = { attempt: extra?.attempt ?? 1, failures: extra?.failures ?? NO_FAILURES };
    return new Entry(queue, envelope, { sequence, tally: queue.tallyOf(channel) }, history);
  });
}

function rowOf(entry: Entry): Row {
  const { id, source, time, channel, correlationId, body } = entry.envelope;
  const correlation = correlationId === id ? 0 : (correlationId ?? "");
  const extra = extraOf(entry);
  if (extra === undefined) return [entry.sequence, body.byteLength, id, source, time, channel, correlation];
  return [entry.sequence, body.byteLength, id, source, time, channel, correlation, extra];
}

function extraOf(entry: Entry): Extra | undefined {
  const plain = isPlain(entry.envelope);
  if (plain && entry.attempt === 1) return undefined;
  const { body: _, id: _id, channel: _channel, source: _source, time: _time, correlationId: _correlation, ...rest } = entry.envelope;
  return { ...(plain ? {} : { rest }), attempt: entry.attempt, failures: entry.failures };
}

function isPlain(envelope: Envelope): boolean {
  return (
    envelope.contentType === JSON_TYPE &&
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
