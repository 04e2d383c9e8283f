import { compileSchema } from "./compile-schema.ts";
import type { JsonSchema, Validator } from "./model.ts";
import { pathText, type Segment } from "./path.ts";
import { show } from "./problem.ts";
import { alternativesOf, LOWER_LIMITS, partsOf, shapeOf, type Parts, type Shape } from "./shape.ts";

/** Whether what one schema allows, another allows too. */
export interface Compatibility {
  readonly compatible: boolean;
  /** Each names the place and what differs: `data.severity: …`. Empty when compatible. */
  readonly reasons: readonly string[];
}

const MAX_REASONS = 20;
/** Comparisons of one schema with one other, in all and inside one another; what is not reached counts as compatible. */
const MAX_COMPARISONS = 5_000;
const MAX_DEPTH = 64;

/**
 * Can something that is valid for the publisher's schema be invalid for the subscriber's? Structural and careful: what is
 * reported is a real difference (a required property that may be missing, another type, a value the subscriber does not
 * list, a property it does not allow, a wider limit), and what this check does not understand counts as compatible.
 * References inside either schema are followed.
 */
export function isCompatible(publisher: JsonSchema, subscriber: JsonSchema): Compatibility {
  const comparison = new Comparison({ publisher, subscriber, left: MAX_COMPARISONS, depth: 0 });
  comparison.compare(publisher, subscriber, []);
  const reasons = comparison.reasons.slice(0, MAX_REASONS);
  return { compatible: reasons.length === 0, reasons };
}

/** What both sides' references start from, how many comparisons are left, and how many are open inside one another. */
interface Scope {
  readonly publisher: JsonSchema;
  readonly subscriber: JsonSchema;
  left: number;
  depth: number;
}

class Comparison {
  readonly reasons: string[] = [];
  readonly #scope: Scope;
  readonly #seen: Map<JsonSchema, Set<JsonSchema>>;

  constructor(scope: Scope, seen: ReadonlyMap<JsonSchema, ReadonlySet<JsonSchema>> = new Map()) {
    this.#scope = scope;
    this.#seen = new Map([...seen].map(([publisher, subscribers]) => [publisher, new Set(subscribers)]));
  }

  compare(publisher: JsonSchema, subscriber: JsonSchema, path: readonly Segment[]): void {
    const seen = this.#seen.get(publisher) ?? new Set();
    this.#seen.set(publisher, seen);
    // A pair that is being compared already counts as compatible: recursive schemas end here.
    if (typeof publisher === "object" && seen.has(subscriber)) return;
    seen.add(subscriber);
    if (publisher !== false) this.compareParts(partsOf(publisher, this.#scope.publisher), subscriber, path);
  }

  compareParts(publisher: Parts, subscriber: JsonSchema, path: readonly Segment[]): void {
    const scope = this.#scope;
    if (scope.left-- <= 0 || scope.depth >= MAX_DEPTH || this.reasons.length >= MAX_REASONS) return;
    scope.depth++;
    this.#compareParts(publisher, subscriber, path);
    scope.depth--;
  }

  #compareParts(publisher: Parts, subscriber: JsonSchema, path: readonly Segment[]): void {
    if (subscriber === true) return;
    if (subscriber === false) return this.#differ(path, "the subscriber allows nothing here");
    const sent = alternativesOf(publisher);
    if (sent !== undefined) return this.#compareEach(sent, subscriber, path);
    const from = shapeOf(publisher);
    if (from.values !== undefined) return this.#compareValues(from.values, subscriber, path);
    const parts = partsOf(subscriber, this.#scope.subscriber);
    const taken = alternativesOf(parts);
    if (taken !== undefined && !taken.each.some((each) => this.#accepts(publisher, each))) {
      return this.#differ(path, "none of the subscriber's alternatives takes what is published");
    }
    this.#compareShapes(from, shapeOf(parts), path);
  }

  /** One alternative of the publisher that the subscriber refuses is enough. */
  #compareEach(
    sent: NonNullable<ReturnType<typeof alternativesOf>>,
    subscriber: JsonSchema,
    path: readonly Segment[],
  ): void {
    for (const each of sent.each) {
      if (each !== false)
        this.compareParts([...sent.others, ...partsOf(each, this.#scope.publisher)], subscriber, path);
    }
  }

  #accepts(publisher: Parts, subscriber: JsonSchema): boolean {
    const inner = new Comparison(this.#scope, this.#seen);
    inner.compareParts(publisher, subscriber, []);
    return inner.reasons.length === 0;
  }

  #compareShapes(from: Shape, to: Shape, path: readonly Segment[]): void {
    this.#compareTypes(from, to, path);
    this.#compareObjects(from, to, path);
    this.#compareLimits(from, to, path);
    if (from.items !== undefined && to.items !== undefined)
      this.compare(from.items, to.items, [...path, "[]"]);
  }

  /** Listed values are few and exact: the subscriber's own schema decides about each. */
  #compareValues(values: readonly unknown[], subscriber: JsonSchema, path: readonly Segment[]): void {
    const validator = standAlone(subscriber, this.#scope.subscriber);
    const refused = values.filter((value) => validator !== undefined && !isValid(validator, value));
    if (refused.length > 0)
      this.#differ(path, `the subscriber does not take ${refused.slice(0, 5).map(show).join(", ")}`);
  }

  #compareTypes(from: Shape, to: Shape, path: readonly Segment[]): void {
    if (from.types === undefined) return;
    const sent = from.types.join(" or ");
    const extra = from.types.filter((type) => to.types !== undefined && !takes(to.types, type));
    if (extra.length > 0) {
      this.#differ(
        path,
        `the publisher may send ${extra.join(" or ")}, the subscriber takes ${to.types?.join(" or ")}`,
      );
    } else if (to.values !== undefined) {
      this.#differ(path, `the publisher allows any ${sent}, the subscriber only listed values`);
    }
  }

  #compareObjects(from: Shape, to: Shape, path: readonly Segment[]): void {
    const says =
      from.types?.includes("object") === true || from.properties.size > 0 || from.required.size > 0;
    if (!says) return;
    for (const name of to.required) {
      if (from.required.has(name)) continue;
      const known = from.properties.has(name) ? "may leave it out" : "does not declare it";
      this.#differ([...path, name], `the subscriber requires it, the publisher ${known}`);
    }
    for (const [name, schema] of from.properties) {
      const expected = to.properties.get(name);
      if (expected !== undefined) this.compare(schema, expected, [...path, name]);
      else if (to.closed) this.#differ([...path, name], "the subscriber does not allow this property");
    }
  }

  #compareLimits(from: Shape, to: Shape, path: readonly Segment[]): void {
    // Without a type the publisher has said nothing that a limit could be narrower than.
    if (from.types === undefined) return;
    for (const [keyword, limit] of to.limits) {
      const given = from.limits.get(keyword);
      const wider = given === undefined || (LOWER_LIMITS.includes(keyword) ? given < limit : given > limit);
      if (!wider || !concerns(keyword, from.types) || isTighter(from, keyword, limit)) continue;
      const published = given === undefined ? "sets none" : `has ${given}`;
      this.#differ(path, `the subscriber has ${keyword} ${limit}, the publisher ${published}`);
    }
  }

  #differ(path: readonly Segment[], reason: string): void {
    const place = pathText(path).replaceAll('["[]"]', "[]");
    this.reasons.push(place === "" ? reason : `${place}: ${reason}`);
  }
}

/** An exclusive limit may be implied by an inclusive one that is further in, and the other way round. */
function isTighter(from: Shape, keyword: string, limit: number): boolean {
  const minimum = from.limits.get("minimum");
  const maximum = from.limits.get("maximum");
  if (keyword === "exclusiveMinimum") return minimum !== undefined && minimum > limit;
  if (keyword === "exclusiveMaximum") return maximum !== undefined && maximum < limit;
  if (keyword === "minimum") return (from.limits.get("exclusiveMinimum") ?? -Infinity) >= limit;
  if (keyword === "maximum") return (from.limits.get("exclusiveMaximum") ?? Infinity) <= limit;
  return false;
}

function concerns(keyword: string, types: readonly string[]): boolean {
  if (keyword.endsWith("Length")) return types.includes("string");
  if (keyword.endsWith("Items")) return types.includes("array");
  if (keyword.endsWith("Properties")) return types.includes("object");
  return types.includes("number") || types.includes("integer");
}

function takes(types: readonly string[], type: string): boolean {
  return types.includes(type) || (type === "integer" && types.includes("number"));
}

/** A part of a schema compiled on its own, with what its references lead to; undefined when that is not enough. */
function standAlone(schema: JsonSchema, root: JsonSchema): Validator | undefined {
  const definitions =
    typeof root === "object" ? { $defs: root["$defs"], definitions: root["definitions"] } : {};
  try {
    return compileSchema(
      schema === root || typeof schema === "boolean" ? schema : { ...definitions, ...schema },
    );
  } catch {
    return undefined;
  }
}

function isValid(validator: Validator, value: unknown): boolean {
  const result = validator.validate(value);
  return "ok" in result && result.ok;
}
