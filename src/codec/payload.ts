import { JSON_TYPE } from "../core/envelope.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import type { EncodedPayload, ReceivedBody } from "./codec.ts";
import { decodeJson, encodeJson } from "./json.ts";
import { decodeMessagePack, encodeMessagePack } from "./msgpack/msgpack.ts";
import { decodeText, encodeText } from "./slab.ts";

const BYTES_TYPE = "application/octet-stream";
/** The registered name of MessagePack, and those that were in use before. */
const MSGPACK = new Set(["application/msgpack", "application/vnd.msgpack", "application/x-msgpack"]);
/** The parameter of a media type that says: five bytes in front name the schema in a registry. */
const FRAMED = /;\s*framing="?confluent"?\s*(?:;|$)/i;

/** Bytes stay bytes (`application/octet-stream`), everything else becomes JSON. Throws as {@link encodeJson} does. */
export function encodePayload(payload: unknown, maxDepth: number): EncodedPayload {
  if (payload instanceof Uint8Array) return { body: new Uint8Array(payload), contentType: BYTES_TYPE };
  if (payload === undefined) throw nothing();
  return { body: encodeJson(payload, maxDepth), contentType: JSON_TYPE };
}

/**
 * A payload as a media type asks. JSON and MessagePack take any payload, bytes staying bytes; `text/*` takes text, every
 * other type takes bytes, else `UNSERIALIZABLE`. Throws what their encoders throw.
 */
export function encodeAs(payload: unknown, contentType: string, maxDepth: number): EncodedPayload {
  if (payload === undefined) throw nothing();
  const media = mediaOf(contentType);
  if (media.startsWith("text/")) {
    if (typeof payload !== "string") throw wrongKind(contentType, "text");
    if (!payload.isWellFormed()) throw wrongKind(contentType, "text without half surrogate pairs");
    return { body: encodeText(payload), contentType };
  }
  const isJsonType = isJson(media);
  if (!isJsonType && !MSGPACK.has(media)) {
    if (!(payload instanceof Uint8Array)) throw wrongKind(contentType, "bytes");
    return { body: new Uint8Array(payload), contentType };
  }
  if (payload instanceof Uint8Array) return { body: new Uint8Array(payload), contentType: BYTES_TYPE };
  const body = isJsonType ? encodeJson(payload, maxDepth) : encodeMessagePack(payload, maxDepth);
  return { body, contentType };
}

/**
 * The payload of a body: JSON by its media type (also without one, and `+json`), MessagePack, text for `text/*`, else its
 * bytes. Every call makes a new value. Throws as {@link decodeJson} and {@link decodeMessagePack} do, `MALFORMED` for text
 * that is not UTF-8, and `UNSUPPORTED` for what only a schema registry can tell.
 */
export function decodePayload(
  { contentType, body }: Pick<ReceivedBody, "contentType" | "body">,
  maxDepth: number,
): unknown {
  if (contentType === JSON_TYPE) return decodeJson(body, maxDepth);
  if (FRAMED.test(contentType)) throw needsRegistry(contentType);
  const media = mediaOf(contentType);
  if (media === "" || isJson(media)) return decodeJson(body, maxDepth);
  if (MSGPACK.has(media)) return decodeMessagePack(body, maxDepth);
  if (media.startsWith("text/")) return decodeText(body);
  return new Uint8Array(body);
}

/** Is a media type one of MessagePack? */
export function isMessagePack(contentType: string): boolean {
  return MSGPACK.has(mediaOf(contentType));
}

function isJson(media: string): boolean {
  return media === JSON_TYPE || media.endsWith("+json");
}

/** A media type without its parameters. Its case means nothing (RFC 9110). */
function mediaOf(contentType: string): string {
  return contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function nothing(): HeraldError {
  return new HeraldError("UNSERIALIZABLE", "payload is undefined: send null when there is nothing to say.");
}

function wrongKind(contentType: string, wanted: string): HeraldError {
  const message = `A payload of the content type ${showValue(contentType)} must be ${wanted}: send that, or say another content type.`;
  return new HeraldError("UNSERIALIZABLE", message, { details: { contentType } });
}

function needsRegistry(contentType: string): HeraldError {
  const message = `The body is of type ${showValue(contentType)}, with a schema's id in front: name its schema registry with the option codecs.`;
  return new HeraldError("UNSUPPORTED", message, { details: { contentType } });
}
