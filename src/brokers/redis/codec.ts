import { isUtf8 } from "node:buffer";
import { attributesOf, DEFAULT_TYPE } from "../../core/cloudevents.ts";
import { isoTime } from "../../core/clock.ts";
import { EnvelopeDraft, type Envelope } from "../../core/envelope.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { lenientEnvelope } from "../shared/lenient.ts";

/** The body, where it is text. */
const DATA = "data";
/** The body, where it is not: the name that CloudEvents gives it in JSON. */
const DATA_BASE64 = "data_base64";
/** Before the name of a header that would be taken for an attribute. */
const HEADER_PREFIX = "header:";
const ATTRIBUTES = new Set([
  "specversion",
  "id",
  "source",
  "type",
  "time",
  "datacontenttype",
  "contentencoding",
  "partitionkey",
  "correlationid",
  "causationid",
  "traceparent",
  "expirytime",
  "deliverytime",
  "priority",
  "replyto",
  "recipient",
  "hops",
  "origin",
  "provenance",
  DATA,
  DATA_BASE64,
]);

/** Appends an envelope's fields and values: CloudEvents attributes, headers under their names, the body as text. */
export function pushFields(args: string[], envelope: Envelope): void {
  if (isPlain(envelope)) {
    args.push("specversion", "1.0", "id", envelope.id, "source", envelope.source);
    args.push("type", envelope.type ?? DEFAULT_TYPE, "time", isoTime(envelope.time));
    args.push("datacontenttype", envelope.contentType);
    if (envelope.key !== undefined) args.push("partitionkey", envelope.key);
  } else {
    const attributes = attributesOf(envelope);
    for (const name in attributes) args.push(name, attributes[name] as string);
  }
  for (const name in envelope.headers) {
    const isTaken = ATTRIBUTES.has(name) || name.startsWith(HEADER_PREFIX);
    args.push(isTaken ? HEADER_PREFIX + name : name, envelope.headers[name] as string);
  }
  const { body } = envelope;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (isUtf8(bytes)) args.push(DATA, bytes.toString("utf8"));
  else args.push(DATA_BASE64, bytes.toString("base64"));
}

function isPlain(envelope: Envelope): boolean {
  return (
    envelope.contentEncoding === undefined &&
    envelope.correlationId === undefined &&
    envelope.causationId === undefined &&
    envelope.traceparent === undefined &&
    envelope.expiresAt === undefined &&
    envelope.deliverAt === undefined &&
    envelope.replyTo === undefined &&
    envelope.to === undefined &&
    envelope.hops === 0 &&
    envelope.origin === undefined &&
    envelope.provenance === undefined &&
    envelope.priority === DEFAULT_PRIORITY
  );
}

/** The envelope of an entry: names and values in turn, as Redis gives them. Never throws: what cannot be read becomes a header. */
export function envelopeOfFields(channel: string, id: string, fields: readonly string[]): Envelope {
  return decodePlain(channel, fields) ?? decodeAny(channel, id, fields);
}

/** The common case: what {@link pushFields} wrote of a plain envelope, in its order. */
function decodePlain(channel: string, fields: readonly string[]): Envelope | undefined {
  const length = fields.length;
  if (fields[0] !== "specversion" || fields[2] !== "id" || fields[4] !== "source") return undefined;
  if (fields[6] !== "type" || fields[8] !== "time" || fields[10] !== "datacontenttype") return undefined;
  const isKeyed = length === 16 && fields[12] === "partitionkey";
  if ((length !== 14 && !isKeyed) || fields[length - 2] !== DATA) return undefined;
  const time = timeOf(fields[9] as string);
  if (Number.isNaN(time)) return undefined;
  const draft = new EnvelopeDraft(fields[3] as string, channel, fields[5] as string, time);
  draft.body = Buffer.from(fields[length - 1] as string, "utf8");
  draft.contentType = fields[11] as string;
  const type = fields[7];
  if (type !== DEFAULT_TYPE) draft.type = type;
  if (isKeyed) draft.key = fields[13];
  return draft;
}

let lastSecond = "";
let lastSecondMs = 0;

/** Epoch milliseconds of what `isoTime` writes; keeps the last second, so that a stream of stamps is cheap. */
function timeOf(text: string): number {
  if (text.length !== 24 || text.charCodeAt(23) !== 90 /* Z */) return Number.NaN;
  const second = text.slice(0, 19);
  if (second !== lastSecond) {
    lastSecondMs = Date.parse(`${second}Z`);
    lastSecond = second;
  }
  return lastSecondMs + Number(text.slice(20, 23));
}

function decodeAny(channel: string, id: string, fields: readonly string[]): Envelope {
  const attributes: Record<string, string> = {};
  const headers: Record<string, string> = {};
  let body = Buffer.alloc(0);
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (name === DATA) body = Buffer.from(value, "utf8");
    else if (name === DATA_BASE64) body = Buffer.from(value, "base64");
    else if (ATTRIBUTES.has(name)) attributes[name] = value;
    else headers[name.startsWith(HEADER_PREFIX) ? name.slice(HEADER_PREFIX.length) : name] = value;
  }
  // A message written by hand has no id: the entry's own is the same at every delivery.
  attributes["id"] ||= id;
  return lenientEnvelope(attributes, { channel, body, headers, storedAt: Number(id.split("-")[0]) });
}
