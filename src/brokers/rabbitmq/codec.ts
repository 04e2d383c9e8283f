import type { Message, Options } from "amqplib";
import { attributesOf } from "../../core/cloudevents.ts";
import type { Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { createId } from "../../core/ids.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import { lenientEnvelope } from "../shared/lenient.ts";

// The binary mode of the CloudEvents protocol binding for AMQP, version 1.0.2: attributes are headers that begin so.
const PREFIX = "cloudEvents_";
const OTHER_PREFIX = "cloudEvents:";
/** The channel of a message that travels under another routing key. */
const CHANNEL = "herald-channel";
/** How many attempts there were before this copy of the message. */
const ATTEMPTS = "herald-attempts";
const FAILURES = "herald-failures";
/** Epoch milliseconds: not handed out again before. */
const NOT_BEFORE = "herald-not-before";
/** Headers whose name AMQP or the server has a meaning of its own for, as JSON. */
const ODD = "herald-headers";
const RESERVED =
  /^(?:cc|bcc|cloudEvents.*|herald-.*|x-death|x-(?:first|last)-death-.*|x-(?:delivery|acquired)-count|x-opt-.*|x-stream-.*|x-match|x-delay)$/i;
/** Headers of a message must fit into one frame, beside up to 64 KiB of the author's. */
const MAX_FAILURES_BYTES = 32 * 1024;
const MAX_NAME_BYTES = 255;

/** Names as they stand in messages, and the other way: a text made anew for every message would be written anew for each. */
const written = new Map<string, string>();
const read = new Map<string, string>();
/** Other tools may write any. */
const MAX_KNOWN_NAMES = 1000;

function prefixed(name: string): string {
  return remembered(written, name, (one) => PREFIX + one);
}

/** The attribute that a header is; undefined: none. */
function attributeOf(name: string): string | undefined {
  if (!name.startsWith(PREFIX) && !name.startsWith(OTHER_PREFIX)) return undefined;
  return remembered(read, name, (one) => one.slice(PREFIX.length).toLowerCase());
}

function remembered(names: Map<string, string>, name: string, make: (name: string) => string): string {
  let made = names.get(name);
  if (made === undefined) {
    if (names.size >= MAX_KNOWN_NAMES) names.clear();
    names.set(name, (made = make(name)));
  }
  return made;
}

/** What is known of a message that comes again, in the message itself. */
export interface Note {
  readonly attempts: number;
  readonly failures: readonly Failure[];
  /** Epoch milliseconds; 0: at once. */
  readonly notBefore: number;
}

/** An envelope's attributes under their CloudEvents names and its headers under their own. */
export function propertiesOf(envelope: Envelope, note?: Note): Options.Publish {
  const headers: Record<string, unknown> = {};
  // The text has whole milliseconds, and nothing is to come before its time.
  const deliverAt = envelope.deliverAt === undefined ? undefined : Math.ceil(envelope.deliverAt);
  const attributes = attributesOf({ ...envelope, deliverAt });
  for (const name in attributes) if (name !== "datacontenttype") headers[prefixed(name)] = attributes[name];
  let odd: Record<string, string> | undefined;
  for (const name in envelope.headers) {
    const value = envelope.headers[name] as string;
    if (!RESERVED.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES) headers[name] = value;
    else (odd ??= {})[name] = value;
  }
  if (odd !== undefined) headers[ODD] = JSON.stringify(Object.entries(odd));
  if (note !== undefined) {
    headers[CHANNEL] = envelope.channel;
    headers[ATTEMPTS] = note.attempts;
    if (note.notBefore > 0) headers[NOT_BEFORE] = String(note.notBefore);
    const failures = note.failures.length === 0 ? "" : JSON.stringify(note.failures);
    if (failures !== "" && Buffer.byteLength(failures) <= MAX_FAILURES_BYTES) headers[FAILURES] = failures;
  }
  const { contentType, id } = envelope;
  const properties: Options.Publish = { headers, persistent: true };
  if (isShort(contentType)) properties.contentType = contentType;
  else headers[`${PREFIX}datacontenttype`] = contentType;
  if (isShort(id)) properties.messageId = id;
  return properties;
}

function isShort(text: string): boolean {
  return Buffer.byteLength(text) <= MAX_NAME_BYTES;
}

/** A message as it was read: what is in it, and what is known of it. */
export interface Decoded extends Note {
  readonly envelope: Envelope;
  /** True for a copy that was made for one group. */
  readonly isReturned: boolean;
}

/** The envelope of a message, also of one that another tool wrote. Never throws: what cannot be read becomes a header. */
export function decode({ fields, properties, content }: Message, now: number): Decoded {
  const attributes: Record<string, string> = {};
  const headers: Record<string, string> = {};
  const given = (properties.headers ?? {}) as Record<string, unknown>;
  for (const [name, value] of Object.entries(given)) {
    const attribute = attributeOf(name);
    if (attribute !== undefined) attributes[attribute] = textOf(value);
    else if (name === ODD) Object.assign(headers, oddHeaders(value));
    else if (!RESERVED.test(name)) headers[name] = textOf(value);
  }
  const { contentType, messageId } = properties as { contentType?: unknown; messageId?: unknown };
  if (typeof contentType === "string") attributes["datacontenttype"] ??= contentType;
  // Nothing in a message that another tool wrote without an id says which one it is.
  attributes["id"] ||= typeof messageId === "string" && messageId !== "" ? messageId : createId(now);
  const channel = given[CHANNEL];
  const attempts = given[ATTEMPTS];
  const place = { channel: typeof channel === "string" ? channel : fields.routingKey, storedAt: now };
  return {
    envelope: lenientEnvelope(attributes, { ...place, body: content, headers }),
    attempts: typeof attempts === "number" ? attempts : 0,
    failures: failuresIn(given[FAILURES]),
    notBefore: Number(given[NOT_BEFORE] ?? 0) || 0,
    isReturned: typeof attempts === "number",
  };
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return JSON.stringify(value) ?? "";
}

function oddHeaders(value: unknown): Record<string, string> {
  try {
    return Object.fromEntries(JSON.parse(textOf(value)) as [string, string][]);
  } catch {
    return {};
  }
}

function failuresIn(value: unknown): readonly Failure[] {
  if (typeof value !== "string") return NO_FAILURES;
  try {
    const failures: unknown = JSON.parse(value);
    return Array.isArray(failures) ? (failures as Failure[]) : NO_FAILURES;
  } catch {
    return NO_FAILURES;
  }
}
