import { nearest } from "../../core/nearest.ts";
import { checkRegex, checkValue, KEYWORDS, type KeywordKind, type ValueProblem } from "./keywords.ts";
import type { JsonSchema } from "./model.ts";
import type { Segment } from "./path.ts";
import { show, type SchemaProblem } from "./problem.ts";

/** A schema that is an object. */
export type SchemaObject = Exclude<JsonSchema, boolean>;

/** A schema inside another. */
export interface SchemaEdge {
  readonly keyword: string;
  /** Key of a map or index of a list; absent when the keyword holds one schema. */
  readonly key?: Segment;
  readonly schema: JsonSchema;
}

/** One schema object of a document. */
export interface SchemaNode {
  readonly schema: SchemaObject;
  readonly segments: readonly Segment[];
  readonly parent: SchemaNode | undefined;
  readonly edges: readonly SchemaEdge[];
}

/** Keywords whose schemas apply to the value itself; `$defs` and `contentSchema` apply to nothing. */
export const SAME_VALUE: ReadonlySet<string> = new Set(
  "allOf anyOf oneOf not if then else dependentSchemas dependencies".split(" "),
);

const KEYED_BY_PROPERTY = new Set(["properties", "dependentSchemas", "dependencies"]);

/** Problems of one schema beyond this many are not looked for. */
const MAX_PROBLEMS = 50;

const DYNAMIC = new Set([
  "$dynamicRef",
  "$dynamicAnchor",
  "$recursiveRef",
  "$recursiveAnchor",
  "$vocabulary",
]);

/** Names that every object has already: the validator would take them for present. `constructor` it handles itself. */
function isInherited(name: string): boolean {
  return name in Object.prototype && name !== "constructor";
}

/** Every schema object of a document, the root first, and everything that is wrong with its keywords. */
export class SchemaWalk {
  readonly nodes = new Map<SchemaObject, SchemaNode>();
  readonly problems: SchemaProblem[] = [];

  constructor(root: JsonSchema) {
    if (typeof root === "object") this.#visit(root, [], undefined);
  }

  #visit(schema: SchemaObject, segments: readonly Segment[], parent: SchemaNode | undefined): void {
    const edges: SchemaEdge[] = [];
    const node: SchemaNode = { schema, segments, parent, edges };
    this.nodes.set(schema, node);
    for (const [keyword, value] of Object.entries(schema)) {
      const kind = KEYWORDS.get(keyword);
      if (kind === undefined) this.#unknown([...segments, keyword], keyword);
      else edges.push(...this.#keyword({ keyword, kind, value, schema }, [...segments, keyword]));
    }
    for (const edge of edges) {
      if (typeof edge.schema !== "object") continue;
      const inner = [...segments, edge.keyword];
      this.#visit(edge.schema, edge.key === undefined ? inner : [...inner, edge.key], node);
    }
  }

  #isFull(): boolean {
    return this.problems.length >= MAX_PROBLEMS;
  }

  #unknown(segments: readonly Segment[], keyword: string): void {
    if (this.#isFull()) return;
    if (keyword === "$data")
      return this.#add(segments, { message: "is refused: $data references are not read" }, true);
    if (DYNAMIC.has(keyword)) {
      return this.#add(
        segments,
        { message: "is not supported", hint: "Use $ref to a schema under $defs." },
        true,
      );
    }
    const meant = nearest(keyword, KEYWORDS.keys());
    const message = `is not a keyword of JSON Schema draft-07 or 2020-12`;
    this.#add(
      segments,
      { message, hint: meant === undefined ? "Remove it, or say it in $comment." : `Did you mean ${meant}?` },
      true,
    );
  }

  #keyword(entry: KeywordEntry, segments: readonly Segment[]): readonly SchemaEdge[] {
    const { keyword, kind, value, schema } = entry;
    if (kind === "schema") return this.#schema(keyword, value, segments);
    if (kind === "schemas" || (kind === "items" && Array.isArray(value)))
      return this.#list(keyword, value, segments);
    if (kind === "items") return this.#schema(keyword, value, segments);
    if (kind === "schemaMap" || kind === "dependencies") return this.#map(keyword, value, segments);
    if (kind === "nameMap") this.#nameMap(value, segments);
    const problem = checkValue(kind, value);
    if (problem !== undefined) this.#add(segments, problem);
    else if (kind === "pattern" && !this.#isFull()) this.#add(segments, checkRegex(String(value), schema));
    else if (kind === "names") this.#names(value as readonly string[], segments);
    return [];
  }

  #schema(keyword: string, value: unknown, segments: readonly Segment[]): readonly SchemaEdge[] {
    return this.#isSchema(value, segments) ? [{ keyword, schema: value }] : [];
  }

  #list(keyword: string, value: unknown, segments: readonly Segment[]): readonly SchemaEdge[] {
    if (!Array.isArray(value) || value.length === 0) {
      this.#add(segments, { message: `must be a list of at least one schema, not ${show(value)}` });
      return [];
    }
    const edges: SchemaEdge[] = [];
    for (const [key, schema] of (value as readonly unknown[]).entries()) {
      if (this.#isSchema(schema, [...segments, key])) edges.push({ keyword, key, schema });
    }
    return edges;
  }

  #map(keyword: string, value: unknown, segments: readonly Segment[]): readonly SchemaEdge[] {
    if (!isObject(value)) {
      this.#add(segments, { message: `must be an object of schemas, not ${show(value)}` });
      return [];
    }
    const edges: SchemaEdge[] = [];
    for (const [key, schema] of Object.entries(value)) {
      const inner = [...segments, key];
      if (keyword === "patternProperties") this.#add(inner, checkRegex(key, "names"), true);
      else if (KEYED_BY_PROPERTY.has(keyword)) this.#names([key], inner);
      if (keyword === "dependencies" && Array.isArray(schema)) this.#nameList(schema, inner);
      else if (this.#isSchema(schema, inner)) edges.push({ keyword, key, schema });
    }
    return edges;
  }

  #nameMap(value: unknown, segments: readonly Segment[]): void {
    if (!isObject(value))
      return this.#add(segments, { message: `must be an object of lists of names, not ${show(value)}` });
    for (const [key, names] of Object.entries(value)) {
      this.#names([key], [...segments, key]);
      this.#nameList(names, [...segments, key]);
    }
  }

  #nameList(value: unknown, segments: readonly Segment[]): void {
    const problem = checkValue("names", value);
    if (problem === undefined) this.#names(value as readonly string[], segments);
    else this.#add(segments, problem);
  }

  #names(names: readonly string[], segments: readonly Segment[]): void {
    const name = names.find(isInherited);
    if (name === undefined) return;
    const message = `names the property ${show(name)}, which every JavaScript object already has`;
    this.#add(segments, { message, hint: "Choose another name for the property." });
  }

  #isSchema(value: unknown, segments: readonly Segment[]): value is JsonSchema {
    if (typeof value === "boolean" || isObject(value)) return true;
    const hint = typeof value === "string" ? { hint: `Write { type: ${value} }.` } : {};
    this.#add(segments, {
      message: `must be a schema (an object of keywords, true or false), not ${show(value)}`,
      ...hint,
    });
    return false;
  }

  #add(segments: readonly Segment[], problem: ValueProblem | undefined, onKey = false): void {
    if (problem !== undefined && !this.#isFull())
      this.problems.push({ segments, ...problem, ...(onKey ? { onKey } : {}) });
  }
}

interface KeywordEntry {
  readonly keyword: string;
  readonly kind: KeywordKind;
  readonly value: unknown;
  readonly schema: SchemaObject;
}

function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
