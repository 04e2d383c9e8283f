import { hasExponentialGrowth, TooComplex, type Automaton } from "./automaton.ts";
import { MAX_CODE_POINT, negate, single, union, type CharSet } from "./char-set.ts";
import type { JsonSchema } from "./model.ts";
import type { SchemaProblem } from "./problem.ts";
import { SAME_VALUE, type SchemaEdge, type SchemaNode, type SchemaObject } from "./walk.ts";

/** How many schemas may be tried on one value, references followed. */
const MAX_TRIES = 10_000;

/** A document with its references resolved. */
export interface LinkedSchema {
  readonly nodes: ReadonlyMap<SchemaObject, SchemaNode>;
  readonly targets: ReadonlyMap<SchemaObject, JsonSchema>;
}

/**
 * Finds references that would keep a validator busy for ever or for exponential time: a `$ref` that comes back to its own
 * schema without going into the value; references that multiply until more than 10,000 schemas are tried on one value; and
 * recursion that looks at one part of the value in two ways, so that the work doubles with every level.
 */
export function checkRecursion(document: LinkedSchema): SchemaProblem | undefined {
  if (document.targets.size === 0) return undefined;
  return new TryCounter(document).problem() ?? checkDoubling(document);
}

function checkDoubling(document: LinkedSchema): SchemaProblem | undefined {
  const message =
    "makes a recursion that looks at one part of the value in two ways, so that the work doubles with every level";
  const [first] = document.targets.keys();
  const segments = [...((first && document.nodes.get(first)?.segments) ?? []), "$ref"];
  try {
    return hasExponentialGrowth(descent(document)) ? { segments, message } : undefined;
  } catch (error) {
    if (error instanceof TooComplex)
      return { segments, message: "makes a recursion that is too complex to be checked" };
    throw error;
  }
}

/** Schemas that apply to the same value as `schema` does. */
function besides(schema: SchemaObject, document: LinkedSchema): readonly SchemaObject[] {
  const inside = document.nodes.get(schema)?.edges.filter((edge) => SAME_VALUE.has(edge.keyword)) ?? [];
  const target = document.targets.get(schema);
  return [...inside.map((edge) => edge.schema), ...(target === undefined ? [] : [target])].filter(
    (other) => typeof other === "object",
  );
}

class TryCounter {
  readonly #document: LinkedSchema;
  readonly #tries = new Map<SchemaObject, number | "open">();
  #loop: SchemaObject | undefined;

  constructor(document: LinkedSchema) {
    this.#document = document;
  }

  problem(): SchemaProblem | undefined {
    for (const node of this.#document.nodes.values()) {
      const tries = this.#count(node.schema, 0);
      if (this.#loop !== undefined) {
        const segments = [...(this.#document.nodes.get(this.#loop)?.segments ?? [])];
        return {
          segments,
          message:
            "refers back to itself without going into the value, or through more than 1000 references, so that it would not end",
        };
      }
      if (tries <= MAX_TRIES) continue;
      return {
        segments: node.segments,
        message: `tries more than ${MAX_TRIES} schemas on one value, because references multiply`,
      };
    }
    return undefined;
  }

  #count(schema: SchemaObject, depth: number): number {
    const known = this.#tries.get(schema);
    if (typeof known === "number") return known;
    // A chain of references this long is refused like one that never ends, so that it cannot exhaust the stack.
    if (known === "open" || depth > 1000) {
      this.#loop = schema;
      return 0;
    }
    this.#tries.set(schema, "open");
    let sum = 1;
    for (const other of besides(schema, this.#document)) {
      sum += this.#count(other, depth + 1);
      if (this.#loop !== undefined) return 0;
    }
    this.#tries.set(schema, Math.min(sum, Number.MAX_SAFE_INTEGER / 1e4));
    return sum;
  }
}

/** Every step from a value into a part of it, as an automaton whose symbols are names of properties and places of items. */
function descent(document: LinkedSchema): Automaton {
  const steps = new StepFinder(document);
  const sets: CharSet[] = [];
  const targets: JsonSchema[] = [];
  const stepsOf = new Map<SchemaObject, number[]>();
  for (const node of document.nodes.values()) {
    stepsOf.set(node.schema, []);
    for (const edge of node.edges) {
      const set = steps.symbols(edge, node.schema);
      if (set === undefined) continue;
      stepsOf.get(node.schema)?.push(sets.length);
      sets.push(set);
      targets.push(edge.schema);
    }
  }
  const after = new Map<SchemaObject, ReadonlyMap<number, number>>();
  const edges = targets.map((target) =>
    typeof target === "object" ? nextSteps(target, { document, stepsOf, after }) : new Map(),
  );
  return { sets, edges };
}

interface StepContext {
  readonly document: LinkedSchema;
  readonly stepsOf: ReadonlyMap<SchemaObject, readonly number[]>;
  readonly after: Map<SchemaObject, ReadonlyMap<number, number>>;
}

/** The steps that a schema and those beside it take, with the number of ways to each. */
function nextSteps(schema: SchemaObject, context: StepContext): ReadonlyMap<number, number> {
  const known = context.after.get(schema);
  if (known !== undefined) return known;
  const ways = new Map<number, number>();
  for (const step of context.stepsOf.get(schema) ?? []) ways.set(step, 1);
  for (const other of besides(schema, context.document)) {
    for (const [step, more] of nextSteps(other, context))
      ways.set(step, Math.min(2, (ways.get(step) ?? 0) + more));
  }
  context.after.set(schema, ways);
  return ways;
}

const LAST_NAME = 0x7ffff;
const FIRST_ITEM = LAST_NAME + 1;
const NAMES: CharSet = [0, LAST_NAME];
const ITEMS: CharSet = [FIRST_ITEM, MAX_CODE_POINT];

class StepFinder {
  readonly #names = new Map<string, number>();

  constructor(document: LinkedSchema) {
    for (const { edges } of document.nodes.values()) {
      for (const edge of edges) if (edge.keyword === "properties") this.#name(String(edge.key));
    }
  }

  /** Which parts of a value the step leads into; undefined when it stays or applies to nothing. */
  symbols(edge: SchemaEdge, schema: SchemaObject): CharSet | undefined {
    switch (edge.keyword) {
      case "properties":
        return single(this.#name(String(edge.key)));
      case "patternProperties":
      case "unevaluatedProperties":
        return NAMES;
      case "additionalProperties":
        return this.#otherNames(schema);
      case "items":
      case "prefixItems":
        return typeof edge.key === "number"
          ? single(FIRST_ITEM + edge.key)
          : itemsAfter(schema["prefixItems"]);
      case "additionalItems":
        return itemsAfter(schema["items"]);
      case "contains":
      case "unevaluatedItems":
        return ITEMS;
      default:
        return undefined;
    }
  }

  #otherNames(schema: SchemaObject): CharSet {
    const declared = Object.keys(schema["properties"] ?? {}).map((name) => single(this.#name(name)));
    return negate(union([...declared, [FIRST_ITEM, MAX_CODE_POINT]]));
  }

  #name(name: string): number {
    const known = this.#names.get(name) ?? this.#names.size;
    this.#names.set(name, known);
    return known;
  }
}

function itemsAfter(listed: unknown): CharSet {
  return [FIRST_ITEM + (Array.isArray(listed) ? listed.length : 0), MAX_CODE_POINT];
}
