import type { Segment } from "../schema/path.ts";
import { isPlainObject } from "./object-reader.ts";

/** References that lead from a schema to another part of the manifest it stands in. */
const ACROSS = "#/spec/";
/** Where such parts are named inside the schema. Nothing is fetched: the name only has to be unlike any other. */
const BASE = "herald://manifest";
const MAX_PARTS = 50;

/** A schema that stands on its own, and where the parts that it took along come from. */
export interface Bundle {
  readonly schema: unknown;
  /** Place in the manifest, by the key under `$defs`. */
  readonly origins: ReadonlyMap<string, readonly Segment[]>;
}

/**
 * Takes along what a schema refers to elsewhere in its manifest (`$ref: "#/spec/messaging/publishes/0/schema"`, which OSSA's own
 * examples write), so that it stands on its own. Each part becomes a resource of its own under `$defs`, where its own references
 * go on meaning what they meant. A reference that leads to nothing is left as it is, for the inspection to refuse.
 */
export function bundleSchema(schema: unknown, document: unknown): Bundle {
  const bundler = new Bundler(document);
  const rewritten = bundler.rewrite(schema, 0);
  if (bundler.parts.size === 0 || !isPlainObject(rewritten)) return { schema, origins: new Map() };
  const own = isPlainObject(rewritten["$defs"]) ? rewritten["$defs"] : {};
  const origins = new Map([...bundler.origins].map(([name, segments]) => [name, segments] as const));
  return { schema: { ...rewritten, $defs: { ...own, ...Object.fromEntries(bundler.parts) } }, origins };
}

class Bundler {
  readonly parts = new Map<string, unknown>();
  readonly origins = new Map<string, readonly Segment[]>();
  readonly #document: unknown;

  constructor(document: unknown) {
    this.#document = document;
  }

  rewrite(value: unknown, depth: number): unknown {
    // Deeper schemas are refused anyway.
    if (typeof value !== "object" || value === null || depth > 70) return value;
    if (Array.isArray(value)) return value.map((item) => this.rewrite(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]: readonly [string, unknown]) =>
        key === "$ref" && typeof item === "string"
          ? [key, this.#reference(item)]
          : [key, this.rewrite(item, depth + 1)],
      ),
    );
  }

  #reference(reference: string): string {
    if (!reference.startsWith(ACROSS)) return reference;
    const name = `${BASE}${reference.slice(1)}`;
    if (!this.origins.has(name)) this.#take(name, reference);
    return this.parts.has(name) ? name : reference;
  }

  #take(name: string, reference: string): void {
    const segments = reference
      .slice(2)
      .split("/")
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = follow(this.#document, segments);
    if (!isPlainObject(found.value) || this.parts.size >= MAX_PARTS) return;
    this.origins.set(name, found.segments);
    // Named before it is rewritten, because it may lead back to itself.
    this.parts.set(name, found.value);
    const rewritten = this.rewrite(found.value, 0);
    this.parts.set(name, isPlainObject(rewritten) ? { ...rewritten, $id: name } : rewritten);
  }
}

function follow(
  document: unknown,
  parts: readonly string[],
): { readonly value: unknown; readonly segments: readonly Segment[] } {
  let value = document;
  const segments: Segment[] = [];
  for (const part of parts) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part))
      return { value: undefined, segments };
    segments.push(Array.isArray(value) ? Number(part) : part);
    value = (value as Record<string, unknown>)[part];
  }
  return { value, segments };
}
