import type { JsonSchema } from "./model.ts";
import type { LinkedSchema } from "./recursion.ts";
import type { SchemaObject } from "./walk.ts";

/** Keywords that say something about a schema and nothing about values; references are rewritten. */
const NOT_ASSERTED: ReadonlySet<string> = new Set(
  (
    "$schema $id $anchor $comment $defs definitions title description default examples deprecated readOnly writeOnly " +
    "contentEncoding contentMediaType contentSchema $ref pattern uniqueItems"
  ).split(" "),
);

/**
 * An inspected schema as the compiler gets it: assertions only, and every reference a pointer into `$defs`, so that how a
 * reference resolves was decided in one place. Patterns become regular expressions that leave over-long text to `maxLength`,
 * and `uniqueItems` a check of ours, because the compiler's own takes quadratic time to explain a failure.
 */
export function prepareSchema(root: JsonSchema, document: LinkedSchema): JsonSchema {
  return typeof root === "boolean" ? root : new Preparer(root, document).root();
}

class Preparer {
  readonly #root: SchemaObject;
  readonly #document: LinkedSchema;
  readonly #copies = new Map<JsonSchema, JsonSchema>();
  readonly #names = new Map<JsonSchema, string>();

  constructor(root: SchemaObject, document: LinkedSchema) {
    this.#root = root;
    this.#document = document;
    for (const target of document.targets.values()) {
      if (!this.#names.has(target))
        this.#names.set(target, target === root ? "#" : `#/$defs/r${this.#names.size}`);
    }
  }

  root(): JsonSchema {
    const copy = this.#schema(this.#root);
    const $defs: Record<string, JsonSchema> = {};
    for (const [target, name] of this.#names) {
      if (name !== "#")
        $defs[name.slice("#/$defs/".length)] = this.#copies.get(target) ?? this.#schema(target);
    }
    return typeof copy === "object" && this.#names.size > 0 ? { ...copy, $defs } : copy;
  }

  #schema(schema: JsonSchema): JsonSchema {
    if (typeof schema === "boolean") return schema;
    const known = this.#copies.get(schema);
    if (known !== undefined) return known;
    const copy: Record<string, unknown> = {};
    this.#copies.set(schema, copy);
    for (const [keyword, value] of Object.entries(schema)) {
      if (!NOT_ASSERTED.has(keyword)) copy[keyword] = this.#value(value);
    }
    const target = this.#document.targets.get(schema);
    if (target !== undefined) copy["$ref"] = this.#names.get(target);
    if (typeof schema["pattern"] === "string")
      copy["pattern"] = patternOf(schema["pattern"], schema["maxLength"]);
    if (schema["uniqueItems"] === true) copy["~refine"] = [UNIQUE_ITEMS];
    return copy;
  }

  /** Schemas inside, in whatever shape the keyword holds them; anything else as it is. */
  #value(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (this.#document.nodes.has(value as SchemaObject)) return this.#schema(value as SchemaObject);
    if (Array.isArray(value)) return value.map((item) => this.#value(item));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]: [string, unknown]) => [key, this.#value(item)]),
    );
  }
}

function patternOf(source: string, maxLength: unknown): RegExp {
  return typeof maxLength === "number" ? new BoundedRegExp(source, maxLength) : new RegExp(source, "u");
}

class BoundedRegExp extends RegExp {
  readonly #maxUnits: number;

  constructor(source: string, maxLength: number) {
    super(source, "u");
    // A character is one or two units of a JavaScript string.
    this.#maxUnits = maxLength * 2;
  }

  override test(text: string): boolean {
    return text.length > this.#maxUnits || super.test(text);
  }
}

const UNIQUE_ITEMS = { check: hasUniqueItems, error: () => "must not hold the same item twice" };

function hasUniqueItems(value: unknown): boolean {
  if (!Array.isArray(value)) return true;
  const simple = new Set<unknown>();
  const composed = new Set<string>();
  for (const item of value as readonly unknown[]) {
    if (typeof item === "object" && item !== null) composed.add(canonical(item));
    else simple.add(item);
  }
  return simple.size + composed.size === value.length;
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`;
}
