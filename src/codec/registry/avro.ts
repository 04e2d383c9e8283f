import type * as Avsc from "avsc";
import { describeThrown, HeraldError, isHeraldError, showValue } from "../../core/errors.ts";
import { checkOutgoing, seenNothing, type Carrier } from "../guard.ts";
import { peer } from "../peer.ts";
import { toPlain } from "../plain.ts";
import { bufferOf } from "../slab.ts";
import { scanAvro } from "./avro-scan.ts";

// Not exported: the types of the package would have to be there for everybody who reads ours.
const avsc = peer("avsc", "Avro") as () => typeof Avsc;

/** Loads the package `avsc`. `UNSUPPORTED` where it is missing. */
export function openAvro(): void {
  avsc();
}

const CARRIER: Carrier = { name: "Avro", bytes: true, halves: false };
const MAX_SCHEMA_BYTES = 256 * 1024;
const MAX_SCHEMA_DEPTH = 64;

/** A schema of Avro 1.11, and the values that it lets through. */
export class AvroSchema {
  readonly #type: Avsc.Type;

  /** `references`: the texts of the schemas that it names, those first that others name. Throws `UNSAFE_SCHEMA` for what is no schema. */
  constructor(text: string, references: readonly string[] = []) {
    this.#type = parse(text, references);
  }

  /** The full name of a record; undefined for other types. */
  get recordName(): string | undefined {
    return this.#type.typeName === "record" ? this.#type.name : undefined;
  }

  /**
   * A value as Avro bytes, as the registry's own clients write them: unions are written out only where they must be,
   * `{ "string": "x" }`. Throws `SCHEMA_VIOLATION` with the path, also for a field that the schema has not; `UNSERIALIZABLE`
   * for what would change; `DEPTH_LIMIT`; `UNSAFE_PAYLOAD`. A number of a `float` is rounded to 32 bits, as the schema wants.
   */
  encode(value: unknown, maxDepth: number): Uint8Array {
    const seen = seenNothing(CARRIER);
    checkOutgoing(value, maxDepth, seen);
    const given = forLibrary(toPlain(value));
    this.#check(given);
    // The clients write bytes by themselves, without their length.
    const body = this.#type.typeName === "bytes" ? (given as Buffer) : this.#type.toBuffer(given);
    if (seen.negativeZero && !sameZeros(given, this.decode(body, maxDepth)))
      throw new HeraldError(
        "UNSERIALIZABLE",
        "The payload holds -0 where the schema has a whole number: send 0.",
      );
    return body;
  }

  /**
   * The value of Avro bytes that were written with this schema: plain data, bytes as `Uint8Array`. `reader`: read as values of
   * that schema, by Avro's rules of resolution. Throws `MALFORMED`, `DEPTH_LIMIT`, `UNSAFE_PAYLOAD`, `MESSAGE_TOO_LARGE`, and
   * `SCHEMA_VIOLATION` where the two schemas do not go together.
   */
  decode(body: Uint8Array, maxDepth: number, reader?: AvroSchema): unknown {
    if (this.#type.typeName === "bytes" && reader === undefined) return new Uint8Array(body);
    scanAvro(this.#type, body, maxDepth);
    const read =
      reader === undefined || reader.#type.equals(this.#type)
        ? () => this.#type.fromBuffer(bufferOf(body)) as unknown
        : this.#readerFor(reader, body);
    try {
      return finite(toPlain(read()));
    } catch (error) {
      if (isHeraldError(error)) throw error;
      throw new HeraldError("MALFORMED", `The Avro body cannot be read: ${describeThrown(error)}.`, {
        cause: error,
      });
    }
  }

  #readerFor(reader: AvroSchema, body: Uint8Array): () => unknown {
    try {
      const resolver = reader.#type.createResolver(this.#type);
      return () => reader.#type.fromBuffer(bufferOf(body), resolver) as unknown;
    } catch (error) {
      const message = `What was written with one schema cannot be read with the other: ${describeThrown(error)}.`;
      throw new HeraldError("SCHEMA_VIOLATION", message, { cause: error });
    }
  }

  #check(value: unknown): void {
    this.#type.isValid(value, {
      noUndeclaredFields: true,
      errorHook: (path, found: unknown, type) => {
        throw violation(path.join("."), found, type);
      },
    });
  }
}

/** What the payload holds has no business in errors, which go into logs and headers: only its kind does. */
function violation(path: string, found: unknown, type: Avsc.Type): HeraldError {
  const where = path === "" ? "The payload" : `The payload at ${path}`;
  const undeclared = type.typeName === "record" ? undeclaredOf(found, type as Avsc.types.RecordType) : [];
  const what =
    undeclared.length > 0
      ? `has fields that the Avro schema has not: ${showValue(undeclared.join(", "))}`
      : `is ${kindOf(found)} where the Avro schema has ${type.toString().slice(0, 120)}`;
  return new HeraldError("SCHEMA_VIOLATION", `${where} ${what}.`, { details: { path } });
}

function undeclaredOf(found: unknown, { fields }: Avsc.types.RecordType): string[] {
  if (typeof found !== "object" || found === null) return [];
  return Object.keys(found).filter((key) => !fields.some(({ name }) => name === key));
}

function kindOf(value: unknown): string {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Uint8Array) return "bytes";
  return `of type ${typeof value}`;
}

function parse(text: string, references: readonly string[]): Avsc.Type {
  const { Type } = avsc();
  // Names are known to all schemas that are read with one registry. Every object here is of the library's making.
  const registry: Record<string, Avsc.Type> = {};
  try {
    for (const reference of references) Type.forSchema(schemaOf(reference), { registry, typeHook });
    return Type.forSchema(schemaOf(text), { registry, typeHook });
  } catch (error) {
    if (isHeraldError(error)) throw error;
    throw new HeraldError("UNSAFE_SCHEMA", `The Avro schema cannot be used: ${describeThrown(error)}.`, {
      cause: error,
    });
  }
}

/** Puts our long in the place of the library's. Where that hides from it that a union is ambiguous, it is told. */
const typeHook: Avsc.ForSchemaOptions["typeHook"] = (schema, options) => {
  if (typeNameOf(schema) === "long") return exactLong();
  const isAmbiguous =
    Array.isArray(schema) && schema.filter((one) => NUMBERS.has(typeNameOf(one))).length > 1;
  return isAmbiguous ? new (avsc().types.WrappedUnionType)(schema, options) : undefined;
};

const NUMBERS = new Set<unknown>(["int", "long", "float", "double"]);

function typeNameOf(schema: unknown): unknown {
  return typeof schema === "object" && schema !== null
    ? (schema as { readonly type?: unknown }).type
    : schema;
}

let long: Avsc.Type | undefined;

/**
 * A long that is exact as far as a number is. The library's own counts in doubles, in which the writing of a number below
 * -2^52 has no room: it makes -9007199254740990 of 9007199254740990, without a word.
 */
function exactLong(): Avsc.Type {
  return (long ??= avsc().types.LongType.__with({
    fromBuffer: (bytes: Buffer) => {
      const value = bytes.readBigInt64LE();
      const exact = Number(value);
      if (Number.isSafeInteger(exact)) return exact;
      throw new HeraldError("MALFORMED", `The Avro body holds ${value}, which cannot be held exactly here.`);
    },
    toBuffer: (value: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      return bytes;
    },
    fromJSON: Number,
    toJSON: Number,
    isValid: Number.isSafeInteger,
    compare: (one: number, other: number) => one - other,
  }));
}

function schemaOf(text: string): Avsc.Schema {
  if (text.length > MAX_SCHEMA_BYTES)
    throw new HeraldError("UNSAFE_SCHEMA", `The Avro schema has more than ${MAX_SCHEMA_BYTES} characters.`);
  const schema = JSON.parse(text) as Avsc.Schema;
  if (!isWithin(schema, MAX_SCHEMA_DEPTH))
    throw new HeraldError("UNSAFE_SCHEMA", `The Avro schema is nested deeper than ${MAX_SCHEMA_DEPTH}.`);
  if (hasPrototypeName(schema))
    throw new HeraldError(
      "UNSAFE_SCHEMA",
      "The Avro schema has the name '__proto__', which can poison prototypes.",
    );
  return schema;
}

function isWithin(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((item) => isWithin(item, depth - 1));
}

function hasPrototypeName(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === "__proto__";
  return Object.values(value).some(hasPrototypeName);
}

/** The library knows bytes as `Buffer` alone. */
function forLibrary(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return bufferOf(value);
  if (Array.isArray(value)) return value.map(forLibrary);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, forLibrary(item)]));
}

/** Is every -0 of the one a -0 in the other? */
function sameZeros(given: unknown, decoded: unknown): boolean {
  if (given === 0) return Object.is(given, decoded);
  if (typeof given !== "object" || given === null || given instanceof Uint8Array) return true;
  return Object.entries(given).every(([key, item]) =>
    sameZeros(item, (decoded as Record<string, unknown> | undefined)?.[key]),
  );
}

/** A payload holds numbers that every encoding carries. */
function finite(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value))
    throw new HeraldError("MALFORMED", `The Avro body holds ${value}, which a payload cannot be: send null.`);
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array))
    for (const item of Object.values(value)) finite(item);
  return value;
}
