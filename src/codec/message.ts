import { isoTime } from "../core/clock.ts";
import { NO_HEADERS, type Envelope } from "../core/envelope.ts";
import type { Message, Metadata, Origin } from "../core/message.ts";
import { traceOf } from "../core/trace.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What a handler gets: the six keys of the OSSA envelope, absent metadata left out. */
export function toMessage(envelope: Envelope, payload: unknown, attempt: number): Message {
  return {
    id: envelope.id,
    timestamp: isoTime(envelope.time),
    source: envelope.source,
    channel: envelope.channel,
    payload,
    metadata: metadataOf(envelope, attempt),
  };
}

function metadataOf(envelope: Envelope, attempt: number): Metadata {
  const metadata: Writable<Metadata> = {
    priority: envelope.priority,
    retryCount: attempt - 1,
    contentType: envelope.contentType,
  };
  if (envelope.contentEncoding !== undefined) metadata.contentEncoding = envelope.contentEncoding;
  if (envelope.type !== undefined) metadata.type = envelope.type;
  if (envelope.to !== undefined) metadata.to = envelope.to;
  if (envelope.correlationId !== undefined) metadata.correlationId = envelope.correlationId;
  if (envelope.causationId !== undefined) metadata.causationId = envelope.causationId;
  if (envelope.replyTo !== undefined) metadata.replyTo = envelope.replyTo;
  if (envelope.expiresAt !== undefined) metadata.ttlSeconds = (envelope.expiresAt - envelope.time) / 1000;
  if (envelope.key !== undefined) metadata.partitionKey = envelope.key;
  if (envelope.origin !== undefined) metadata.origin = envelope.origin as Origin;
  if (envelope.hops > 0) metadata.hops = envelope.hops;
  if (envelope.provenance !== undefined) metadata.provenance = envelope.provenance;
  if (envelope.headers !== NO_HEADERS) metadata.headers = { ...envelope.headers };
  const { traceparent } = envelope;
  const trace = traceparent === undefined ? undefined : traceOf(traceparent);
  if (traceparent !== undefined && trace !== undefined) {
    metadata.traceparent = traceparent;
    metadata.traceId = trace.traceId;
    metadata.spanId = trace.spanId;
  }
  return metadata;
}
