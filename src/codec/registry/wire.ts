import { headerBytes, headerText } from "../../core/binary-header.ts";
import { HeraldError } from "../../core/errors.ts";
import type { ReceivedBody } from "../codec.ts";
import { bufferOf } from "../slab.ts";

/** The header in which the clients of the registry name the schema of a value. */
export const SCHEMA_ID_HEADER = "__value_schema_id";

/** How a schema is named in a message: by the number a registry gave it, or by its GUID, which no registry shares. */
export type SchemaRef = { readonly id: number } | { readonly guid: string };

/** A body that names its schema, and what follows the name. */
export interface Framed {
  readonly ref: SchemaRef;
  readonly data: Uint8Array;
}

const BY_ID = 0;
const BY_GUID = 1;
const ID_BYTES = 5;
const GUID_BYTES = 17;
const MAX_ID = 2 ** 31 - 1;

/** Bodies of these types may begin with a schema's name; what a program sent as bytes or text is left alone. */
const MAY_BE_FRAMED = /^\s*(?:application\/(?:json|avro|vnd\.apache\.avro)|avro\/binary)?\s*(?:;|$)/i;

/** A schema's name as bytes: 0 and the id in four bytes, the highest first; or 1 and the GUID in sixteen. */
export function refBytes(ref: SchemaRef): Buffer {
  if ("guid" in ref) return Buffer.from(`01${ref.guid.replaceAll("-", "")}`, "hex");
  const bytes = Buffer.alloc(ID_BYTES);
  bytes.writeInt32BE(ref.id, 1);
  return bytes;
}

/** The name as the value of a header. */
export function refHeader(ref: SchemaRef): string {
  return headerText(refBytes(ref));
}

/** The body with the name in front. */
export function prefixed(ref: SchemaRef, data: Uint8Array): Uint8Array {
  return Buffer.concat([refBytes(ref), data]);
}

/**
 * The schema that a message names: in its header, else in front of its body, as the clients of the registry look for it.
 * Undefined: it names none. `MALFORMED` for a header that is no name.
 */
export function framedBy({ body, contentType, headers }: ReceivedBody): Framed | undefined {
  const header = headers[SCHEMA_ID_HEADER];
  if (header !== undefined) return { ref: refOf(headerBytes(header)) ?? malformed(), data: body };
  if (!MAY_BE_FRAMED.test(contentType)) return undefined;
  const ref = refOf(body);
  return ref && { ref, data: body.subarray("id" in ref ? ID_BYTES : GUID_BYTES) };
}

/** The name in front of some bytes. No JSON begins with 0 or 1. */
function refOf(bytes: Uint8Array): SchemaRef | undefined {
  const buffer = bufferOf(bytes);
  if (buffer[0] === BY_ID && buffer.byteLength >= ID_BYTES) {
    const id = buffer.readUInt32BE(1);
    return id > MAX_ID ? undefined : { id };
  }
  if (buffer[0] !== BY_GUID || buffer.byteLength < GUID_BYTES) return undefined;
  const hex = buffer.toString("hex", 1, GUID_BYTES);
  return { guid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") };
}

function malformed(): never {
  throw new HeraldError(
    "MALFORMED",
    `The header ${SCHEMA_ID_HEADER} names no schema: it must be 0 and an id in 4 bytes, or 1 and a GUID in 16.`,
    { details: { header: SCHEMA_ID_HEADER } },
  );
}
