import { Environment, type ParseResult } from "@marcbachmann/cel-js";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { examine, type Needs } from "./expression-rules.ts";
import { MESSAGE_KEYS, own, ownMetadata } from "./lookup.ts";

/** The longest expression, bytes of UTF-8. */
export const MAX_EXPRESSION_BYTES = 4096;

const LIMITS = {
  maxAstNodes: 1000,
  maxDepth: 32,
  maxListElements: 500,
  maxMapEntries: 100,
  maxCallArguments: 4,
};

let environment: Environment | undefined;

/**
 * Compiles a condition in CEL (Common Expression Language), bare or in the OSSA form `${{ … }}`.
 *
 * Variables: `payload`, `metadata`, `id`, `timestamp`, `source`, `channel`, and `message`, whose fields are the keys of the
 * message first, then fields of the payload, then of the metadata, then headers: `message.channel`, `message.payload.type`
 * and `message.severity` all work. Offered are the operators, `has size int double string bool timestamp`, on texts
 * `contains startsWith endsWith lowerAscii upperAscii trim`, and on lists `all exists exists_one`. Numbers are JSON's:
 * whole and fractional ones mix, and a division of a payload's number may give a fraction.
 *
 * The predicate never throws. A field that is missing and types that do not fit make the part they stand in an error, and an
 * expression that ends in an error, or in anything but true, is false; `has(payload.x)` asks first. Only own properties
 * are seen. An object that has a field of its own called `constructor` cannot be looked into, which is an error as well.
 *
 * Rejects with `INVALID_ARGUMENT` what is longer than 4 KiB, cannot be read, does not fit in its types, or could cost more
 * than its length times the size of a message; `details.position` is the place in `text`, from 0.
 */
export function compileExpression(text: string): (message: Message) => boolean {
  const { source, offset } = strip(text);
  const evaluate = parse(source, offset);
  const { names } = examined(evaluate, offset);
  checkTypes(evaluate, offset);
  return (message) => {
    try {
      return evaluate(names.size === 0 ? message : withView(message, names)) === true;
    } catch {
      return false;
    }
  };
}

function strip(text: unknown): { source: string; offset: number } {
  if (typeof text !== "string") throw refused("must be a text in CEL, as in payload.severity == 'high'");
  if (text.length > MAX_EXPRESSION_BYTES || Buffer.byteLength(text) > MAX_EXPRESSION_BYTES) {
    throw refused(
      `is longer than ${MAX_EXPRESSION_BYTES} bytes; split it over several subscriptions or decide in the handler`,
    );
  }
  const open = text.length - text.trimStart().length;
  if (!text.startsWith("${{", open)) return checkContent(text, 0);
  const close = text.trimEnd().length - 2;
  if (close < open + 3 || !text.startsWith("}}", close))
    throw refused("opens with ${{ and does not end with }}", open);
  return checkContent(text.slice(open + 3, close), open + 3);
}

function checkContent(source: string, offset: number): { source: string; offset: number } {
  if (source.trim() === "")
    throw refused("is empty; leave it out, or write a condition as in payload.severity == 'high'", offset);
  return { source, offset };
}

function parse(source: string, offset: number): ParseResult {
  environment ??= createEnvironment();
  try {
    return environment.parse(source);
  } catch (error) {
    throw unreadable("cannot be read", error, offset);
  }
}

function examined(evaluate: ParseResult, offset: number): Needs {
  const found = examine(evaluate.ast);
  if ("names" in found) return found;
  throw refused(found.reason, offset + found.at);
}

function checkTypes(evaluate: ParseResult, offset: number): void {
  const { valid, type, error } = evaluate.check();
  if (!valid) throw unreadable("does not fit", error, offset);
  if (type !== "bool" && type !== "dyn")
    throw refused(`gives ${type}, not true or false; compare it with something`, offset);
}

/** The part of the message that `message.<name>` stands for, with nothing but the names that are asked for. */
function withView(message: Message, names: ReadonlySet<string>): Record<string, unknown> {
  const view = Object.create(null) as Record<string, unknown>;
  for (const name of names) view[name] = messageField(message, name);
  return { ...message, message: view };
}

function messageField(message: Message, name: string): unknown {
  if (MESSAGE_KEYS.has(name)) return own(message, name);
  const value = own(message.payload, name);
  return value === undefined ? ownMetadata(message, name) : value;
}

function createEnvironment(): Environment {
  const created = new Environment({ homogeneousAggregateLiterals: false, limits: LIMITS });
  for (const name of ["payload", "metadata", "message"]) created.registerVariable(name, "dyn");
  for (const name of ["id", "timestamp", "source", "channel"]) created.registerVariable(name, "string");
  addArithmetic(created);
  return created;
}

type Calculate = (a: number, b: number) => number;

/** JSON has one kind of number, CEL has three that do not mix: without this `payload.n + 1` would be an error. */
function addArithmetic(target: Environment): void {
  const operators: readonly (readonly [string, Calculate])[] = [
    ["+", (a, b) => a + b],
    ["-", (a, b) => a - b],
    ["*", (a, b) => a * b],
    ["/", (a, b) => a / b],
    ["%", (a, b) => a % b],
  ];
  for (const [operator, calculate] of operators) {
    const mixed = (a: unknown, b: unknown): number => calculate(Number(a), Number(b));
    for (const whole of ["int", "uint"]) {
      target.registerOperator(`double ${operator} ${whole}: double`, mixed);
      target.registerOperator(`${whole} ${operator} double: double`, mixed);
    }
  }
  target.registerOperator("double % double: double", (a: number, b: number) => a % b);
  for (const pair of ["int == double", "double == uint", "int == uint"]) {
    target.registerOperator(`${pair}: bool`, (a: unknown, b: unknown) => Number(a) === Number(b));
  }
}

interface Described {
  readonly summary?: string;
  readonly message?: string;
  readonly code?: string;
  readonly range?: { readonly start: number };
}

function unreadable(what: string, error: unknown, offset: number): HeraldError {
  const { summary, message, code, range } = error as Described;
  const hint = code === "unknown_variable" ? "; write payload.<name> or message.<name> for a field" : "";
  return refused(
    `${what}: ${(summary ?? message ?? "").replace(/\.$/, "")}${hint}`,
    offset + (range?.start ?? 0),
    error,
  );
}

function refused(problem: string, position?: number, cause?: unknown): HeraldError {
  const at = position === undefined ? "" : ` (at character ${position + 1})`;
  return new HeraldError("INVALID_ARGUMENT", `The filter's expression ${problem}${at}.`, {
    details: position === undefined ? { field: "expression" } : { field: "expression", position },
    ...(cause === undefined ? {} : { cause }),
  });
}
