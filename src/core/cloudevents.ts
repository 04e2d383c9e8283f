import { isoTime } from "./clock.ts";
import { createEnvelope, JSON_TYPE, type Envelope } from "./envelope.ts";
import { HeraldError } from "./errors.ts";
import { createId } from "./ids.ts";
import { DEFAULT_PRIORITY } from "./priority.ts";

/** Attributes by their CloudEvents 1.0 names: required, optional, documented extensions, and our own extensions. */
export type Attributes = Readonly<Record<string, string>>;

/** The `type` of a message whose author named none: CloudEvents requires one. */
export const DEFAULT_TYPE = "herald.message";

// Date.parse alone takes "1" for a year. Years beyond 9999 have the form of ECMAScript, which `isoTime` writes.
const RFC_3339 = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

/**
 * The attributes of an envelope under CloudEvents 1.0 names. Channel and body are not among them (the technology carries
 * those itself), and neither are the author's headers.
 */
export function attributesOf(envelope: Envelope): Record<string, string> {
  const attributes: Record<string, string> = {
    specversion: "1.0",
    id: envelope.id,
    source: envelope.source,
    type: envelope.type ?? DEFAULT_TYPE,
    time: isoTime(envelope.time),
    datacontenttype: envelope.contentType,
  };
  const { expiresAt, deliverAt, priority, hops } = envelope;
  put(attributes, "contentencoding", envelope.contentEncoding);
  put(attributes, "partitionkey", envelope.key);
  put(attributes, "correlationid", envelope.correlationId);
  put(attributes, "causationid", envelope.causationId);
  put(attributes, "traceparent", envelope.traceparent);
  put(attributes, "expirytime", expiresAt === undefined ? undefined : isoTime(expiresAt));
  put(attributes, "deliverytime", deliverAt === undefined ? undefined : isoTime(deliverAt));
  put(attributes, "priority", priority === DEFAULT_PRIORITY ? undefined : String(priority));
  put(attributes, "replyto", envelope.replyTo);
  put(attributes, "recipient", envelope.to);
  put(attributes, "hops", hops === 0 ? undefined : String(hops));
  put(attributes, "origin", envelope.origin);
  put(attributes, "provenance", envelope.provenance);
  return attributes;
}

function put(attributes: Record<string, string>, name: string, value: string | undefined): void {
  if (value !== undefined) attributes[name] = value;
}

/** What a technology knows of a message besides its attributes. */
export interface Carried {
  readonly channel: string;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** When the technology stored it, epoch milliseconds: the time of a message that carries none. */
  readonly storedAt: number;
}

/**
 * An envelope from attributes, also from none: a message written by another tool gets an id, the source `external` and
 * the time it was stored. Rejects with `MALFORMED` when an attribute of ours cannot be read.
 */
export function envelopeOf(attributes: Attributes, carried: Carried): Envelope {
  return createEnvelope({
    id: attributes["id"] || createId(carried.storedAt),
    channel: carried.channel,
    source: attributes["source"] || "external",
    time: instant(attributes, "time") ?? carried.storedAt,
    body: carried.body,
    headers: carried.headers,
    contentType: attributes["datacontenttype"] ?? JSON_TYPE,
    contentEncoding: attributes["contentencoding"],
    type: attributes["type"] === DEFAULT_TYPE ? undefined : attributes["type"],
    key: attributes["partitionkey"],
    correlationId: attributes["correlationid"],
    causationId: attributes["causationid"],
    traceparent: attributes["traceparent"],
    expiresAt: instant(attributes, "expirytime"),
    deliverAt: instant(attributes, "deliverytime"),
    priority: whole(attributes, "priority", 99) ?? DEFAULT_PRIORITY,
    replyTo: attributes["replyto"],
    to: attributes["recipient"],
    hops: whole(attributes, "hops", Number.MAX_SAFE_INTEGER) ?? 0,
    origin: attributes["origin"],
    provenance: attributes["provenance"],
  });
}

function instant(attributes: Attributes, name: string): number | undefined {
  const text = attributes[name];
  if (text === undefined || text === "") return undefined;
  const epochMs = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(epochMs)) throw malformed(name, "an RFC 3339 time", text);
  return epochMs;
}

function whole(attributes: Attributes, name: string, max: number): number | undefined {
  const text = attributes[name];
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw malformed(name, `a whole number up to ${max}`, text);
  return value;
}

function malformed(name: string, expected: string, text: string): HeraldError {
  return new HeraldError(
    "MALFORMED",
    `Attribute '${name}' must be ${expected}, not ${JSON.stringify(text.slice(0, 80))}.`,
    {
      details: { attribute: name },
    },
  );
}
