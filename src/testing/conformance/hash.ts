import type { Envelope } from "../../core/envelope.ts";

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** A number that changes with the bytes (FNV-1a, 32 bits, never 0). */
export function hashBytes(bytes: Uint8Array, from: number = OFFSET): number {
  let hash = from;
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), PRIME);
  return hash >>> 0 || 1;
}

/** A number that changes with the text. */
export function hashText(text: string, from: number = OFFSET): number {
  let hash = from;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME);
  return hash >>> 0 || 1;
}

/** A number that changes with anything an envelope carries from its publisher to its handler. */
export function hashEnvelope(envelope: Envelope): number {
  const { headers } = envelope;
  const attributes = [
    Object.entries(headers).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    envelope.source,
    envelope.contentType,
    envelope.contentEncoding,
    envelope.priority,
    envelope.key,
    envelope.type,
    envelope.to,
    envelope.correlationId,
    envelope.causationId,
    envelope.replyTo,
    envelope.traceparent,
    envelope.hops,
    envelope.origin,
    envelope.provenance,
  ];
  return hashText(JSON.stringify(attributes), hashBytes(envelope.body));
}

/** A number that changes with the payload and the author's headers of a message; 0 for a payload that JSON cannot show. */
export function hashMessage(payload: unknown, headers: Readonly<Record<string, string>> | undefined): number {
  const pairs = Object.entries(headers ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const from = payload instanceof Uint8Array ? hashBytes(payload) : OFFSET;
  try {
    return hashText(JSON.stringify([payload instanceof Uint8Array ? null : (payload ?? null), pairs]), from);
  } catch {
    return 0;
  }
}
