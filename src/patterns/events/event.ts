import { hash } from "node:crypto";
import { isoTime } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";
import { checkId, createId } from "../../core/ids.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { LoggedEvent, StreamHead } from "../../core/store.ts";
import { canonicalJson } from "../canonical.ts";

/** An event as a program appends it. */
export interface NewEvent {
  /** What happened, in the past tense: `OrderPlaced`. */
  readonly type: string;
  /** Any JSON value. */
  readonly data?: unknown;
  /** An append that is repeated with the same ids, after an error that left its outcome open, takes place once. Default: a UUID v7. */
  readonly id?: string;
  /** Who, why, in which conversation. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** An event as it was stored. */
export interface StoredEvent<T = unknown> {
  readonly stream: string;
  /** Its number in the stream, 1 first, without a gap. */
  readonly version: number;
  readonly id: string;
  readonly type: string;
  /** When it was appended: ISO 8601, UTC, milliseconds. */
  readonly time: string;
  readonly data: T;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** SHA-256, hexadecimal, over this event and the hash of the one before. */
  readonly hash: string;
}

/** An event that is checked and encoded, and belongs to no place yet. */
export interface EncodedEvent {
  readonly id: string;
  readonly body: string;
}

const NO_METADATA = Object.freeze({});

/** The event as canonical JSON. Throws `INVALID_ARGUMENT`, `UNSERIALIZABLE` or `MESSAGE_TOO_LARGE`. */
export function encodeEvent({ type, data, id, metadata }: NewEvent, now: number): EncodedEvent {
  if (typeof type !== "string" || type === "" || type.length > 200) throw wrongType();
  if (id !== undefined) checkId(id);
  const given = id ?? createId(now);
  // Its own keys stand in their order: what is put together is canonical as a whole.
  const extra = metadata === undefined ? "" : `,"metadata":${canonicalJson(metadata)}`;
  const body = `{"data":${canonicalJson(data)},"id":${JSON.stringify(given)}${extra},"time":"${isoTime(now)}","type":${canonicalJson(type)}}`;
  const { maxMessageBytes } = DEFAULT_LIMITS;
  if (body.length * 3 > maxMessageBytes && Buffer.byteLength(body) > maxMessageBytes)
    throw tooLarge(type, maxMessageBytes);
  return { id: given, body };
}

/** A stored event from what the log keeps of it. Throws `STORAGE_CORRUPT` for what no store has written. */
export function decodeEvent(stream: string, logged: LoggedEvent): StoredEvent {
  const { version } = logged;
  try {
    const { data, id, metadata, time, type } = JSON.parse(logged.body) as Omit<StoredEvent, "metadata"> & {
      metadata?: StoredEvent["metadata"];
    };
    return { stream, version, id, type, time, data, metadata: metadata ?? NO_METADATA, hash: logged.hash };
  } catch (cause) {
    const message = `Event ${version} of stream '${stream}' cannot be read: run verify() on the stream, and look for a failing disk.`;
    throw new HeraldError("STORAGE_CORRUPT", message, { details: { stream, version }, cause });
  }
}

/**
 * The hash of an event: SHA-256 over the canonical JSON of `{ event, previous, stream, version }`, where `previous` is the
 * hash of the event before, `""` for the first.
 */
export function chainHash(stream: string, previous: StreamHead, body: string): string {
  const text = `{"event":${body},"previous":"${previous.hash}","stream":${JSON.stringify(stream)},"version":${previous.version + 1}}`;
  return hash("sha256", text, "hex");
}

function wrongType(): HeraldError {
  const message = "An event's type must be a name of 1 to 200 characters.";
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "type" } });
}

function tooLarge(type: string, maxBytes: number): HeraldError {
  const message = `An event '${type}' is larger than ${maxBytes} bytes: store the large part elsewhere and its address here.`;
  return new HeraldError("MESSAGE_TOO_LARGE", message, { details: { type, maxBytes } });
}
