import { HeraldError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { priorityName, type PriorityName } from "../core/priority.ts";
import { own } from "./lookup.ts";

const MAX_DEPTH = 64;
const MAX_SHOWN = 120;

/** Decides on one value; undefined stands for "absent". */
type Test = (value: unknown) => boolean;

/** How values of one field compare. */
interface Comparison {
  /** Holds for a value equal to `expected`, never for an absent one. */
  equal(expected: unknown): Test;
  /** Below, at or above `expected` as a number below, at or above 0; NaN when the two cannot be ordered. */
  order(expected: string | number): (value: unknown) => number;
}

/** Compares without coercion: a number with a number, a text with a text by code units, containers deeply. */
const PLAIN: Comparison = {
  equal: (expected) =>
    typeof expected === "object" && expected !== null
      ? (value) => deepEqual(value, expected)
      : (value) => value === expected,
  order: (expected) => (value) => {
    if (typeof value !== typeof expected) return Number.NaN;
    return compare(value as string | number, expected);
  },
};

const BANDS: Readonly<Record<PriorityName, number>> = { critical: 0, high: 1, normal: 2, low: 3 };

/** The names of the priority bands, most urgent first. */
export const BAND_NAMES: readonly string[] = Object.keys(BANDS);

/**
 * Compares a priority level (0 to 99): with a number as it is, with a band's name by the band that the level lies in.
 * Bands are ordered as their levels are: critical, high, normal, low.
 */
export const PRIORITY: Comparison = {
  equal: (expected) => {
    const band = bandOf(expected);
    return band === undefined ? PLAIN.equal(expected) : (value) => bandOfLevel(value) === band;
  },
  order: (expected) => {
    const band = bandOf(expected);
    return band === undefined ? PLAIN.order(expected) : (value) => bandOfLevel(value) - band;
  },
};

function bandOf(name: unknown): number | undefined {
  return typeof name === "string" && Object.hasOwn(BANDS, name) ? BANDS[name as PriorityName] : undefined;
}

function bandOfLevel(level: unknown): number {
  return typeof level === "number" ? BANDS[priorityName(level)] : Number.NaN;
}

type Operator = (field: string, operand: unknown, comparison: Comparison) => Test;

const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ["$eq", (field, operand, comparison) => comparison.equal(checkJson(field, operand))],
  ["$ne", (field, operand, comparison) => not(comparison.equal(checkJson(field, operand)))],
  ["$in", oneOf],
  ["$nin", (field, operand, comparison) => not(oneOf(field, operand, comparison))],
  ["$gt", ordered((order) => order > 0)],
  ["$gte", ordered((order) => order >= 0)],
  ["$lt", ordered((order) => order < 0)],
  ["$lte", ordered((order) => order <= 0)],
  ["$exists", exists],
]);

/**
 * Compiles what a filter says of one field: a plain value (equal), an array (one of), an object of `$` operators (all must
 * hold) or any other object (equal, deeply). An absent value passes only `$ne`, `$nin` and `$exists: false`.
 * Rejects with `INVALID_ARGUMENT`, naming `field`.
 */
export function compileCondition(field: string, condition: unknown, comparison: Comparison = PLAIN): Test {
  if (Array.isArray(condition)) return oneOf(field, condition, comparison);
  if (!isPlainObject(condition)) return comparison.equal(checkJson(field, condition));
  const keys = Object.keys(condition);
  const operators = keys.filter((key) => key.startsWith("$"));
  if (operators.length === 0) return comparison.equal(checkJson(field, condition));
  if (operators.length < keys.length) {
    throw invalid(
      field,
      `mixes operators with plain keys; compare an object with { $eq: … } beside ${operators[0]}`,
    );
  }
  return every(keys.map((key) => operatorOf(field, key)(`${field}.${key}`, condition[key], comparison)));
}

/** Holds when all tests hold. Without tests: always. */
export function every<T>(tests: readonly ((subject: T) => boolean)[]): (subject: T) => boolean {
  const [first] = tests;
  if (first === undefined) return () => true;
  if (tests.length === 1) return first;
  return (subject) => {
    for (const test of tests) if (!test(subject)) return false;
    return true;
  };
}

/** Something in a filter that cannot be compiled. `problem` goes on with the sentence that `field` begins. */
export function invalid(field: string, problem: string): HeraldError {
  const shown = field.length > MAX_SHOWN ? `${field.slice(0, MAX_SHOWN)}…` : field;
  const subject = field === "" ? "A filter" : `In a filter, ${shown}`;
  return new HeraldError("INVALID_ARGUMENT", `${subject} ${problem}.`, { details: { field: shown } });
}

/** True for an object that is neither an array nor an instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function operatorOf(field: string, name: string): Operator {
  const operator = OPERATORS.get(name);
  if (operator !== undefined) return operator;
  const known = [...OPERATORS.keys()];
  const meant = nearest(name, known);
  const hint = meant === undefined ? "" : `did you mean ${meant}? `;
  throw invalid(
    field,
    `has the unknown operator ${JSON.stringify(name)}; ${hint}Known are ${known.join(" ")}`,
  );
}

function not(test: Test): Test {
  return (value) => !test(value);
}

function oneOf(field: string, operand: unknown, comparison: Comparison): Test {
  if (!Array.isArray(operand)) throw invalid(field, "must be a list of values");
  const tests = operand.map((item, at) => comparison.equal(checkJson(`${field}[${at}]`, item)));
  return (value) => {
    for (const test of tests) if (test(value)) return true;
    return false;
  };
}

function ordered(holds: (order: number) => boolean): Operator {
  return (field, operand, comparison) => {
    const expected = checkJson(field, operand);
    if (typeof expected !== "number" && typeof expected !== "string") {
      throw invalid(field, "must be a number or a text; nothing else has an order");
    }
    const order = comparison.order(expected);
    return (value) => holds(order(value));
  };
}

function exists(field: string, operand: unknown): Test {
  if (typeof operand !== "boolean") throw invalid(field, "must be true (present) or false (absent)");
  return (value) => (value !== undefined) === operand;
}

/** A copy of a JSON value, so that changing the filter afterwards changes nothing. */
function checkJson(field: string, value: unknown, depth = 0): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (depth > MAX_DEPTH)
    throw invalid(field, `is nested deeper than ${MAX_DEPTH} levels; compare a part of it`);
  if (Array.isArray(value)) return value.map((item, at) => checkJson(`${field}[${at}]`, item, depth + 1));
  if (!isPlainObject(value)) throw invalid(field, "must be a JSON value; write a date as ISO 8601 text");
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    if (key.startsWith("$")) throw invalid(field, `has the operator ${key} where a plain value is expected`);
    copy[key] = checkJson(`${field}.${key}`, value[key], depth + 1);
  }
  return copy;
}

function compare(a: string | number, b: string | number): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

/** Equality of JSON values, whatever the order of keys. As deep as `expected`, which is bounded. */
function deepEqual(value: unknown, expected: unknown): boolean {
  if (typeof expected !== "object" || expected === null) return value === expected;
  if (Array.isArray(expected) ? !Array.isArray(value) : !isPlainObject(value)) return false;
  const keys = Object.keys(expected);
  if (Object.keys(value as object).length !== keys.length) return false;
  for (const key of keys) if (!deepEqual(own(value, key), own(expected, key))) return false;
  return true;
}
