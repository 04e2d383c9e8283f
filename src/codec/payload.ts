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
  if (payload instanceof Uint8Array) return { body: new Uint8Array(payload), contentType: "application/octet-stream" };
  if (payload === undefined) throw new HeraldError("UNSERIALIZABLE", "payload is undefined: send null when there is nothing to say.");
  return { body: encodeJson(payload, maxDepth), contentType: JSON_TYPE };
}

/** The payload of an envelope: JSON by its media type, text for `text/*`, else its bytes. Every call makes a new value. */
export function decodePayload(envelope: Envelope, maxDepth: number): unknown {
  const { contentType, body } = envelope;
  if (contentType === JSON_TYPE || isJson(contentType)) return decodeJson(body, maxDepth);
  if (contentType.startsWith("text/")) return decodeText(body);
  return new Uint8Array(body);
}

function isJson(contentType: string): boolean {
  const media = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return media === "" || media === JSON_TYPE || media.endsWith("+json");
}
