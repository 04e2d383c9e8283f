import { headerBytes, headerText } from "../../core/binary-header.ts";
import { attributesOf } from "../../core/cloudevents.ts";
import { isoTime } from "../../core/clock.ts";
import type { Envelope } from "../../core/envelope.ts";
import { lenientEnvelope } from "../shared/lenient.ts";
import type { RecordRead } from "./record-read.ts";

// CloudEvents 1.0, Kafka protocol binding, binary mode.
const PREFIX = "ce_";
const CONTENT_TYPE = "content-type";
/** The channel of a message in a topic that several share. */
const CHANNEL = "herald-channel";
/** Its id is to be recognised, should it be stored a second time. */
const ONCE = "herald-once";
/** Before the name of a header that would be taken for one of ours. */
const HEADER_PREFIX = "header:";

/** A record to be written. */
export interface RecordToWrite {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | null;
  /** Null: nothing is left of what the key named. */
  readonly value: Buffer | null;
  /** Names and values in turn; text is written as UTF-8. */
  readonly headers: readonly (string | Buffer)[];
  /** Epoch milliseconds. */
  readonly timestamp: number;
}

const TRUE = "1";

/** An envelope as a record. `sharing`: its topic holds several channels. `once`: its id is to be recognised. */
export function recordOf(
  envelope: Envelope,
  place: { readonly topic: string; readonly partition: number },
  { sharing, once }: { readonly sharing: boolean; readonly once: boolean },
): RecordToWrite {
  const headers: (string | Buffer)[] = [];
  const attributes = attributesOf(envelope);
  // Attributes have whole milliseconds, and nothing may come early.
  if (envelope.deliverAt !== undefined) attributes["deliverytime"] = isoTime(Math.ceil(envelope.deliverAt));
  for (const name in attributes) {
    const as = name === "datacontenttype" ? CONTENT_TYPE : PREFIX + name;
    headers.push(as, attributes[name] as string);
  }
  if (sharing) headers.push(CHANNEL, envelope.channel);
  if (once) headers.push(ONCE, TRUE);
  for (const name in envelope.headers) {
    const value = headerBytes(envelope.headers[name] as string);
    headers.push(isTaken(name) ? HEADER_PREFIX + name : name, bufferOf(value));
  }
  return {
    ...place,
    key: envelope.key === undefined ? null : Buffer.from(envelope.key, "utf8"),
    value: bufferOf(envelope.body),
    headers,
    timestamp: Math.floor(envelope.time),
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isTaken(name: string): boolean {
  return (
    name.startsWith(PREFIX) ||
    name.startsWith(HEADER_PREFIX) ||
    name === CONTENT_TYPE ||
    name === CHANNEL ||
    name === ONCE
  );
}

/** The channel that a record names, or undefined. */
export function channelOfRecord(record: RecordRead): string | undefined {
  return headerOf(record, CHANNEL);
}

/** The id of a record that is to be recognised, should it be stored a second time; undefined for any other. */
export function onceIdOf(record: RecordRead): string | undefined {
  return headerOf(record, ONCE) === undefined ? undefined : headerOf(record, `${PREFIX}id`);
}

function headerOf(record: RecordRead, wanted: string): string | undefined {
  const headers = record.headers();
  while (headers.next()) if (headers.isNamed(wanted)) return headers.text;
  return undefined;
}

/** The envelope of a record. Never throws: what cannot be read becomes a header. */
export function envelopeOfRecord(
  record: RecordRead,
  place: { readonly channel: string; readonly id: string; readonly storedAt: number },
): Envelope {
  const attributes: Record<string, string> = {};
  const headers: Record<string, string> = {};
  const read = record.headers();
  while (read.next()) {
    const { name } = read;
    if (name === CHANNEL || name === ONCE) continue;
    if (name === CONTENT_TYPE) attributes["datacontenttype"] = read.text;
    else if (name.startsWith(PREFIX)) attributes[name.slice(PREFIX.length)] = read.text;
    else
      headers[name.startsWith(HEADER_PREFIX) ? name.slice(HEADER_PREFIX.length) : name] = headerText(
        read.value,
      );
  }
  // A message of another tool has no id: its place is the same at every delivery.
  attributes["id"] ||= place.id;
  const { key } = record;
  if (key !== null) attributes["partitionkey"] ??= headerText(key);
  const body = record.value ?? Buffer.alloc(0);
  return lenientEnvelope(attributes, { channel: place.channel, body, headers, storedAt: place.storedAt });
}
