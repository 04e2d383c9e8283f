import { JSON_TYPE, type Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import { decodeJson, encodeJson } from "./json.ts";
import { decodeText } from "./slab.ts";

/** A payload as bytes, and what kind of bytes. */
export interface EncodedPayload {
  readonly body: Uint8Array;
  readonly contentType: string;
}

/** Bytes stay bytes (`application/octet-stream`), everything else becomes JSON. Throws as {@link encodeJson} does. */
export function encodePayload(payload: unknown, maxDepth: number): EncodedPayload {
  if (payload instanceof Uint8Array)
    return { body: new Uint8Array(payload), contentType: "application/octet-stream" };
  if (payload === undefined)
    throw new HeraldError("UNSERIALIZABLE", "payload is undefined: send null when there is nothing to say.");
  return { body: encodeJson(payload, maxDepth), contentType: JSON_TYPE };
}

/**
 * The payload of an envelope: JSON by its media type (also without one, and `+json`), text for `text/*`, else its bytes.
 * Every call makes a new value. Throws as {@link decodeJson} does, and `MALFORMED` for text that is not UTF-8.
 */
export function decodePayload(envelope: Envelope, maxDepth: number): unknown {
  const { contentType, body } = envelope;
  if (contentType === JSON_TYPE) return decodeJson(body, maxDepth);
  const media = mediaOf(contentType);
  if (media === "" || media === JSON_TYPE || media.endsWith("+json")) return decodeJson(body, maxDepth);
  if (media.startsWith("text/")) return decodeText(body);
  return new Uint8Array(body);
}

/** A media type without its parameters. Its case means nothing (RFC 9110). */
function mediaOf(contentType: string): string {
  return contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}
