import { isUtf8 } from "node:buffer";
import type { Type, types } from "avsc";
import { HeraldError, type ErrorCode } from "../../core/errors.ts";

/**
 * Walks Avro bytes by their schema, before the library reads them, which believes every length that it is told: five bytes
 * can claim two thousand million items. Throws `MALFORMED` for bytes that are cut short, go on behind the value, or name what
 * the schema has not; `DEPTH_LIMIT`; `UNSAFE_PAYLOAD` for a key `__proto__`; `MESSAGE_TOO_LARGE` for items without any bytes
 * beyond number.
 */
export function scanAvro(type: Type, bytes: Uint8Array, maxDepth: number): void {
  const scanner = new Scanner(bytes);
  scanner.value(type, maxDepth);
  if (scanner.left > 0) throw wrong("MALFORMED", `goes on for ${scanner.left} bytes behind its end`);
}

/** Values that may have no bytes of their own: nulls, empty records. */
const MAX_EMPTY = 10_000;
const MAX_VARINT_BYTES = 10;

class Scanner {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** Values that may still come. */
  #budget: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#budget = bytes.byteLength + MAX_EMPTY;
  }

  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }

  value(type: Type, depth: number): void {
    if (depth === 0) throw wrong("DEPTH_LIMIT", "is nested deeper than the limit");
    if (--this.#budget < 0) throw wrong("MESSAGE_TOO_LARGE", "unfolds to more values than it has bytes");
    const { typeName } = type;
    if (typeName.startsWith("logical:")) return this.value((type as types.LogicalType).underlyingType, depth);
    if (typeName.startsWith("union:"))
      return this.value(this.#one((type as types.UnwrappedUnionType).types), depth);
    this.#plain(type, depth);
  }

  #plain(type: Type, depth: number): void {
    switch (type.typeName) {
      case "null":
        return;
      case "boolean":
        return this.#boolean();
      case "int":
      case "long":
      case "abstract:long":
        return void this.#number();
      case "float":
        return this.#skip(4);
      case "double":
        return this.#skip(8);
      case "bytes":
        return this.#skip(this.#length());
      case "string":
        return void this.#text();
      case "fixed":
        return this.#skip((type as types.FixedType).size);
      case "enum":
        return void this.#one((type as types.EnumType).symbols);
      case "array":
        return this.#blocks(() => this.value((type as types.ArrayType).itemsType, depth - 1));
      case "map":
        return this.#blocks(() => {
          if (this.#text() === "__proto__") throw wrong("UNSAFE_PAYLOAD", "has the key '__proto__'");
          this.value((type as types.MapType).valuesType, depth - 1);
        });
      case "record":
      case "error":
        for (const field of (type as types.RecordType).fields) this.value(field.type, depth - 1);
        return;
      default:
        throw wrong("MALFORMED", `is of the type ${type.typeName}, which is not read`);
    }
  }

  #boolean(): void {
    const at = this.#at;
    this.#skip(1);
    if ((this.#bytes[at] as number) > 1) throw wrong("MALFORMED", "holds a boolean that is neither 0 nor 1");
  }

  /** A run of items is a count, or a negative count and a size in bytes; 0 ends it. */
  #blocks(item: () => void): void {
    for (let count = this.#number(); count !== 0; count = this.#number()) {
      if (count < 0) this.#length();
      for (let i = Math.abs(count); i > 0; i--) item();
    }
  }

  #one<T>(choices: readonly T[]): T {
    const index = this.#number();
    const chosen = choices[index];
    if (chosen === undefined) throw wrong("MALFORMED", `names choice ${index} of ${choices.length}`);
    return chosen;
  }

  #text(): string | undefined {
    const length = this.#length();
    const start = this.#at;
    this.#skip(length);
    const bytes = this.#bytes.subarray(start, this.#at);
    if (!isUtf8(bytes)) throw wrong("MALFORMED", "holds text that is not UTF-8");
    return length === 9 ? Buffer.from(bytes).toString() : undefined;
  }

  #length(): number {
    const length = this.#number();
    if (length < 0) throw wrong("MALFORMED", `holds a length of ${length}`);
    return length;
  }

  /** A whole number: seven bits a byte, the lowest first, zigzag. As a double, which is exact for every length that can be. */
  #number(): number {
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const at = this.#at;
      this.#skip(1);
      const byte = this.#bytes[at] as number;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw wrong("MALFORMED", "holds a number of more than 64 bits");
  }

  #skip(bytes: number): void {
    if (bytes > this.left) throw wrong("MALFORMED", "ends in the middle of a value");
    this.#at += bytes;
  }
}

function wrong(code: ErrorCode, what: string): HeraldError {
  return new HeraldError(
    code,
    `The Avro body ${what}: see whether it was written with the schema that it names.`,
  );
}
