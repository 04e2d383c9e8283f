import type { Message } from "../core/message.ts";
import { nearest } from "../core/nearest.ts";
import { BAND_NAMES, compileCondition, every, invalid, isPlainObject, PRIORITY } from "./condition.ts";
import { compileExpression } from "./expression.ts";
import { own, ownMetadata, ownPath, TEXT_KEYS } from "./lookup.ts";

/** Which messages a subscription wants. Both parts given: both must hold. None given: every message passes. */
export interface Filter {
  /**
   * What fields must be, by name.
   *
   * A bare name (`severity`) is looked up in the payload, then the metadata, then the headers. A name that starts with a
   * key of the message is absolute: `payload.customer.id`, `metadata.type`, `source`, `channel`, `id`, `timestamp`.
   * Any other dotted name (`customer.id`) is a path in the payload, then in the metadata.
   *
   * A plain value must be equal, an array holds the values allowed, an object of operators (`$eq $ne $in $nin $gt $gte
   * $lt $lte $exists`) must hold whole, any other object must be equal deeply. Types are never coerced; texts, ISO 8601
   * instants among them, are ordered as texts. The metadata's priority may be compared with the name of a band: `high`.
   */
  readonly fields?: Readonly<Record<string, unknown>> | undefined;
  /** See {@link compileExpression}. */
  readonly expression?: string | undefined;
}

type Predicate = (message: Message) => boolean;

const KEYS = ["fields", "expression"];
const PRIORITY_PATH = "metadata.priority";

/**
 * Compiles a filter. The predicate never throws and keeps nothing of a message; a path that leads nowhere is "absent":
 * equal to nothing, so that only `$ne`, `$nin` and `$exists: false` hold for it. Prototypes are never looked at.
 * Rejects with `INVALID_ARGUMENT`, naming the field, what cannot be compiled, keys other than the two included.
 */
export function compileFilter(filter: Filter): Predicate {
  if (!isPlainObject(filter)) throw invalid("", "must be an object with fields, expression or both");
  for (const key of Object.keys(filter)) if (!KEYS.includes(key)) throw unknownKey(key);
  const { fields, expression }: Filter = filter;
  const tests = compileFields(fields);
  if (expression !== undefined) tests.push(compileExpression(expression));
  return every(tests);
}

function unknownKey(key: string): Error {
  const meant = nearest(key, KEYS);
  const hint = meant === undefined ? "a field's name belongs under fields" : `did you mean ${meant}?`;
  return invalid(JSON.stringify(key), `is not a part of a filter; use fields and expression (${hint})`);
}

function compileFields(fields: unknown): Predicate[] {
  if (fields === undefined) return [];
  if (!isPlainObject(fields))
    throw invalid("fields", "must be an object: the name of a field, then what it must be");
  return Object.keys(fields).map((name) => compileField(name, fields[name]));
}

function compileField(name: string, condition: unknown): Predicate {
  const field = `fields.${name}`;
  const path = name.split(".");
  if (path.includes(""))
    throw invalid(field, "has an empty part in its name; join the parts with single dots");
  const [head, ...rest] = path as [string, ...string[]];
  if (TEXT_KEYS.has(head)) {
    if (rest.length > 0)
      throw invalid(field, `leads nowhere: ${head} is text; write payload.${name} for a payload's field`);
    const test = compileCondition(field, condition);
    return (message) => test(own(message, head));
  }
  if (name === PRIORITY_PATH) return compilePriority(field, condition);
  if (head === "payload" || head === "metadata") {
    const test = compileCondition(field, condition);
    return (message) => test(ownPath(message[head], rest));
  }
  return rest.length === 0 ? compileBare(field, name, condition) : compileRelative(field, path, condition);
}

function compileBare(field: string, name: string, condition: unknown): Predicate {
  const test = compileCondition(field, condition);
  const fallback = name === "priority" ? compileCondition(field, condition, PRIORITY) : test;
  return (message) => {
    const value = own(message.payload, name);
    return value === undefined ? fallback(ownMetadata(message, name)) : test(value);
  };
}

function compileRelative(field: string, path: readonly string[], condition: unknown): Predicate {
  const test = compileCondition(field, condition);
  return (message) => {
    const value = ownPath(message.payload, path);
    return test(value === undefined ? ownPath(message.metadata, path) : value);
  };
}

/** A level is a number: a text that names no band could never be equal to it, so it is refused. */
function compilePriority(field: string, condition: unknown): Predicate {
  const test = compileCondition(field, condition, PRIORITY);
  for (const text of textsOf(condition)) {
    if (BAND_NAMES.includes(text)) continue;
    const meant = nearest(text, BAND_NAMES) ?? "one of them";
    throw invalid(
      field,
      `names no priority: ${JSON.stringify(text)}; use a level from 0 to 99 or ${BAND_NAMES.join(", ")} (${meant})`,
    );
  }
  return (message) => test(message.metadata.priority);
}

function textsOf(condition: unknown): string[] {
  if (typeof condition === "string") return [condition];
  return typeof condition === "object" && condition !== null ? Object.values(condition).flatMap(textsOf) : [];
}
