import { attributesOf, DEFAULT_TYPE } from "../../core/cloudevents.ts";
import { isoTime } from "../../core/clock.ts";
import type { Envelope } from "../../core/envelope.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { lenientEnvelope } from "../shared/lenient.ts";
import type { Encoded, Incoming } from "./client.ts";

// The binary mode of the CloudEvents protocol binding for NATS, version 1.0.2: attributes are headers that begin with `ce-`.
const PREFIX = "ce-";
const CONTENT_TYPE = "content-type";
/** Before a header whose name or value the protocol cannot carry: the rest of the name and the value are base64url. */
const CODED = "herald-coded-";
const PLAIN_NAME = /^[\x21-\x39\x3b-\x7e]+$/;
const RESERVED_NAME = /^(?:ce-|nats-|herald-coded-|content-type$)/i;
// The client trims values; control characters would end a line.
// eslint-disable-next-line no-control-regex
const PLAIN_VALUE = /^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$/;
const NEEDS_PERCENT = /[^\x21\x23\x24\x26-\x7e]/;

/** Headers of a message, as the lines of the protocol. */
export class HeaderLines implements Encoded {
  #text = "NATS/1.0\r\n";
  #bytes: Uint8Array | undefined;

  add(name: string, value: string): this {
    this.#text += `${name}: ${value}\r\n`;
    return this;
  }

  encode(): Uint8Array {
    return (this.#bytes ??= Buffer.from(`${this.#text}\r\n`, "utf8"));
  }
}

/** An envelope's attributes under their CloudEvents names and its headers under their own. */
export function headersOf(envelope: Envelope): HeaderLines {
  const lines = new HeaderLines();
  if (isPlain(envelope)) {
    lines
      .add("ce-specversion", "1.0")
      .add("ce-id", coded(envelope.id))
      .add("ce-source", coded(envelope.source));
    lines.add("ce-type", coded(envelope.type ?? DEFAULT_TYPE)).add("ce-time", isoTime(envelope.time));
    lines.add(CONTENT_TYPE, coded(envelope.contentType));
    if (envelope.key !== undefined) lines.add("ce-partitionkey", coded(envelope.key));
  } else {
    // The text has whole milliseconds, and nothing is to come before its time.
    const deliverAt = envelope.deliverAt === undefined ? undefined : Math.ceil(envelope.deliverAt);
    const attributes = attributesOf({ ...envelope, deliverAt });
    for (const name in attributes)
      lines.add(name === "datacontenttype" ? CONTENT_TYPE : PREFIX + name, coded(attributes[name] as string));
  }
  for (const name in envelope.headers) {
    const value = envelope.headers[name] as string;
    if (PLAIN_NAME.test(name) && !RESERVED_NAME.test(name) && PLAIN_VALUE.test(value)) lines.add(name, value);
    else lines.add(CODED + base64(name), base64(value));
  }
  return lines;
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

/** Percent-encoded as the HTTP binding says, which the one for NATS refers to. */
function coded(value: string): string {
  if (!NEEDS_PERCENT.test(value)) return value;
  return encodeURIComponent(value.toWellFormed()).replace(
    /%(2[3-9A-C]|2F|3[A-F]|40|5[B-E]|60|7[B-E])/g,
    (escape) => (escape === "%25" ? escape : decodeURIComponent(escape)),
  );
}

function decoded(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    // Somebody's own writing: it is taken as it stands.
    return value;
  }
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64url");
}

/** The envelope of a message, also of one that another tool wrote. Never throws: what cannot be read becomes a header. */
export function envelopeFrom(
  message: Incoming,
  place: { readonly channel: string; readonly id: string; readonly storedAt: number },
): Envelope {
  const attributes: Record<string, string> = {};
  const headers: Record<string, string> = {};
  for (const [name, values] of message.headers ?? []) {
    const value = values[0] ?? "";
    const lower = name.toLowerCase();
    if (lower === CONTENT_TYPE) attributes["datacontenttype"] = decoded(value);
    else if (lower.startsWith(PREFIX)) attributes[lower.slice(PREFIX.length)] = decoded(value);
    else if (lower.startsWith("nats-")) continue;
    else if (name.startsWith(CODED)) put(headers, plain(name.slice(CODED.length)), plain(value));
    else put(headers, name, value);
  }
  // A message written by hand has no id: the entry's own is the same at every delivery.
  attributes["id"] ||= place.id;
  return lenientEnvelope(attributes, { ...place, body: message.data, headers });
}

/** Sets a header, also one that is called `__proto__`. */
function put(headers: Record<string, string>, name: string, value: string): void {
  if (name === "__proto__")
    Object.defineProperty(headers, name, { value, enumerable: true, writable: true, configurable: true });
  else headers[name] = value;
}

function plain(text: string): string {
  return Buffer.from(text, "base64url").toString("utf8");
}
