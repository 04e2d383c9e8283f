import type { JsonSchema } from "./model.ts";

type SchemaObject = Exclude<JsonSchema, boolean>;

/** A schema that is an object, `$ref` and `allOf` written out beside it. */
export type Parts = readonly SchemaObject[];

/** The parts of a schema that two schemas are compared by. */
export interface Shape {
  readonly types: readonly string[] | undefined;
  /** `enum`, or `const` as a list of one. */
  readonly values: readonly unknown[] | undefined;
  readonly required: ReadonlySet<string>;
  readonly properties: ReadonlyMap<string, JsonSchema>;
  /** Properties that are not declared are refused. */
  readonly closed: boolean;
  readonly items: JsonSchema | undefined;
  readonly limits: ReadonlyMap<string, number>;
}

/** Keywords that set a lower limit. */
export const LOWER_LIMITS = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const UPPER_LIMITS = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const MAX_DEPTH = 32;

/** Folds the parts of a schema into one shape. Of two parts that say different things of one keyword, the first counts. */
export function shapeOf(parts: Parts): Shape {
  const types = parts.map((part) => part["type"]).find((type) => type !== undefined);
  const limits = new Map<string, number>();
  for (const part of parts) {
    for (const keyword of [...LOWER_LIMITS, ...UPPER_LIMITS]) {
      const limit = part[keyword];
      if (typeof limit === "number" && !limits.has(keyword)) limits.set(keyword, limit);
    }
  }
  return {
    types: types === undefined ? undefined : [types].flat().map(String),
    values: parts.map((part) => ("const" in part ? [part["const"]] : part["enum"])).find(Array.isArray),
    required: new Set(parts.flatMap((part) => namesOf(part["required"]))),
    properties: new Map(
      parts.flatMap((part) => Object.entries(part["properties"] ?? {}).filter(isSchemaEntry)),
    ),
    closed: parts.some(
      (part) => part["additionalProperties"] === false && part["patternProperties"] === undefined,
    ),
    items: parts.map((part) => part["items"]).find(isSchema),
    limits,
  };
}

/** A schema that is an object, followed by what its `$ref` and `allOf` add. */
export function partsOf(schema: JsonSchema, root: JsonSchema, depth = 0): Parts {
  if (typeof schema === "boolean" || depth > MAX_DEPTH) return [];
  const target = typeof schema["$ref"] === "string" ? follow(schema["$ref"], root) : undefined;
  const all = Array.isArray(schema["allOf"]) ? schema["allOf"].filter(isSchema) : [];
  const added = target === undefined ? all : [target, ...all];
  return [schema, ...added.flatMap((part) => partsOf(part, root, depth + 1))];
}

/** The first list of alternatives among the parts, and the parts without it. */
export function alternativesOf(
  parts: Parts,
): { readonly each: readonly JsonSchema[]; readonly others: Parts } | undefined {
  for (const [index, part] of parts.entries()) {
    for (const keyword of ["anyOf", "oneOf"]) {
      const each = part[keyword];
      if (!Array.isArray(each)) continue;
      const { [keyword]: _taken, ...rest } = part;
      return { each: each.filter(isSchema), others: parts.with(index, rest) };
    }
  }
  return undefined;
}

/** Pointers from the root only; an `$id` or `$anchor` counts as not understood. */
function follow(reference: string, root: JsonSchema): JsonSchema | undefined {
  if (!/^#(?:\/|$)/.test(reference)) return undefined;
  let value: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return isSchema(value) ? value : undefined;
}

function namesOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function isSchemaEntry(entry: [string, unknown]): entry is [string, JsonSchema] {
  return isSchema(entry[1]);
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value));
}
