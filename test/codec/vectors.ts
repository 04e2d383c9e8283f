/**
 * What the registry's own clients write, recorded: `@confluentinc/schemaregistry` 1.10.1 and `confluent-kafka` 2.16.1 for
 * Python, each against the same Apicurio Registry 3.0.9, gave these bytes, the same in both; and both read what is written
 * here. The header was recorded of the JavaScript client's own stand-in for a registry, because Apicurio gives no GUIDs.
 */
export const ORDER_SCHEMA = {
  type: "record",
  name: "Order",
  namespace: "shop",
  fields: [
    { name: "id", type: "long" },
    { name: "note", type: ["null", "string"], default: null },
    { name: "price", type: "double" },
    { name: "tags", type: { type: "array", items: "string" } },
    { name: "blob", type: "bytes" },
    { name: "kind", type: { type: "enum", name: "Kind", symbols: ["NEW", "OLD"] } },
    { name: "extra", type: { type: "map", values: "int" } },
  ],
};

/** The value that was written. */
export const ORDER = {
  id: 1_234_567_890_123,
  note: "Grüße",
  price: -1.5,
  tags: ["a", ""],
  blob: Uint8Array.of(0, 255),
  kind: "OLD",
  extra: { x: 1, y: -2 },
};

/** Its Avro, without the name of its schema. */
export const ORDER_AVRO = "9693d89fee47020e4772c3bcc39f65000000000000f8bf04026100000400ff020402780202790300";

/** The name of the schema with the id 1, in front of a body. */
export const PREFIX_OF_1 = "0000000001";

/** The header of a schema with this GUID. */
export const GUID = "a576fbd1-c25c-4f2d-b976-d220b84d2527";
export const GUID_HEADER = "01a576fbd1c25c4f2db976d220b84d2527";

export const JSON_SCHEMA = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "Order",
  type: "object",
  properties: { id: { type: "integer" }, note: { type: "string" } },
  required: ["id"],
  additionalProperties: false,
};
export const JSON_ORDER = { id: 7, note: "Grüße" };
export const JSON_ORDER_BYTES = "7b226964223a372c226e6f7465223a224772c3bcc39f65227d";
