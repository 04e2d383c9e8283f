import type { JsonSchema } from "./model.ts";
import type { Segment } from "./path.ts";
import type { SchemaProblem } from "./problem.ts";

/** Nesting of objects and lists in a schema. */
const MAX_SCHEMA_DEPTH = 64;

/** Size of a schema, as JSON. */
const MAX_SCHEMA_BYTES = 256 * 1024;

/** A schema of our own that nothing outside can change, or why it cannot be had. */
export type CopyResult =
  | { readonly ok: true; readonly schema: JsonSchema }
  | { readonly ok: false; readonly problem: SchemaProblem };

/**
 * Copies a schema as plain JSON and refuses what is not: nested deeper than 64, larger than 256 KiB, a key `__proto__`,
 * numbers that JSON does not have, functions, instances of classes. Keys that hold undefined are absent. Looks at no more of
 * the schema than these limits allow, so that shared parts which unfold without end cost nothing.
 */
export function copySchema(schema: unknown): CopyResult {
  try {
    const copy = new Copier().copy(schema, []);
    if (typeof copy === "boolean" || (typeof copy === "object" && copy !== null && !Array.isArray(copy))) {
      return { ok: true, schema: copy as JsonSchema };
    }
    throw new Refused([], "must be an object of keywords, or true or false");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { segments, message } = error;
    return { ok: false, problem: { segments, message } };
  }
}

class Refused extends Error {
  readonly segments: readonly Segment[];

  constructor(segments: readonly Segment[], message: string) {
    super(message);
    this.segments = segments;
  }
}

class Copier {
  #bytes = 0;

  copy(value: unknown, segments: readonly Segment[]): unknown {
    if (segments.length > MAX_SCHEMA_DEPTH) {
      throw new Refused(segments.slice(0, 8), `is nested deeper than ${MAX_SCHEMA_DEPTH}, or holds itself`);
    }
    if (typeof value === "object" && value !== null) return this.#container(value, segments);
    const isJson =
      value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
    if (!isJson) throw new Refused(segments, `must be a JSON value, not ${describe(value)}`);
    this.#count(typeof value === "string" ? Buffer.byteLength(value) + 2 : String(value).length, segments);
    return value;
  }

  #container(value: object, segments: readonly Segment[]): unknown {
    this.#count(2, segments);
    if (Array.isArray(value)) return value.map((item, index) => this.#item(item, [...segments, index]));
    if (Object.prototype.toString.call(value) !== "[object Object]") {
      throw new Refused(segments, `must be a JSON value, not ${describe(value)}`);
    }
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      if (key === "__proto__") throw new Refused(segments, "has a key __proto__, which is refused");
      this.#count(Buffer.byteLength(key) + 3, segments);
      copy[key] = this.#item(item, [...segments, key]);
    }
    return copy;
  }

  #item(value: unknown, segments: readonly Segment[]): unknown {
    this.#count(1, segments);
    return this.copy(value, segments);
  }

  #count(bytes: number, segments: readonly Segment[]): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_SCHEMA_BYTES) {
      throw new Refused(segments.slice(0, 8), `makes the schema larger than ${MAX_SCHEMA_BYTES / 1024} KiB`);
    }
  }
}

function describe(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  return Object.prototype.toString.call(value).slice(8, -1);
}
