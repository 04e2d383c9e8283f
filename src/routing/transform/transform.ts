import { describeThrown, HeraldError, isHeraldError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import type { Language } from "../sandbox/protocol.ts";
import { sandbox, type EvaluationLimits } from "../sandbox/sandbox.ts";
import { compileTemplate } from "./template.ts";

/** Makes the payload that a message has from here on; at once, or later. It never changes the message that it is given. */
export type Transform = (message: Message) => unknown;

/** A transform that is a function of the program: the payload first, the whole message for those who want it. */
export type TransformFunction = (payload: unknown, message: Message) => unknown;

/** What one transform may take. */
export interface TransformLimits {
  /** Milliseconds. Default 1000. A function that does not wait for anything cannot be cut short. */
  readonly timeoutMs?: number;
  /** What it may give, bytes of JSON. Default 1 MiB. */
  readonly maxBytes?: number;
}

/** The limits in force when none are given. */
export const DEFAULT_TRANSFORM_LIMITS: EvaluationLimits = { timeoutMs: 1000, maxBytes: 1024 * 1024 };
/** The longest JSONata or JMESPath expression, characters. */
const MAX_EXPRESSION = 16 * 1024;

/** The limits with what is not given filled in. Throws `INVALID_ARGUMENT`. */
export function limitsOf(given: TransformLimits = {}): EvaluationLimits {
  const limits = { ...DEFAULT_TRANSFORM_LIMITS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (typeof value === "number" && value > 0 && value <= 2 ** 31 - 1) continue;
    throw new HeraldError("INVALID_ARGUMENT", `${name} must be a number above 0.`, {
      details: { field: name },
    });
  }
  return limits;
}

/**
 * A transform by an expression over the payload; in JSONata `$message` is the rest of the message. Needs the package
 * `jsonata` or `@jmespath-community/jmespath`. Rejects with `INVALID_ARGUMENT` when it cannot be read and `UNSUPPORTED` when
 * the package is missing; the transform rejects with `TRANSFORM_FAILED`, also when it takes more time, memory or room than it may.
 */
export async function expressionTransform(
  language: Language,
  expression: string,
  limits: EvaluationLimits,
): Promise<Transform> {
  if (typeof expression !== "string" || expression.trim() === "" || expression.length > MAX_EXPRESSION) {
    const message = `The ${language} expression must be a text of 1 to ${MAX_EXPRESSION} characters.`;
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "expression" } });
  }
  await sandbox.check(language, expression);
  return ({ payload, ...message }) => sandbox.run(language, expression, { payload, message, ...limits });
}

/** A transform by a template; see {@link compileTemplate}. Throws `INVALID_ARGUMENT`. */
export function templateTransform(template: unknown, limits: EvaluationLimits): Transform {
  return compileTemplate(template, limits.maxBytes);
}

/**
 * A transform by a function. What it throws becomes `TRANSFORM_FAILED` with it as the cause, unless it is a HeraldError; so does
 * a promise that takes longer than `timeoutMs`.
 */
export function functionTransform(run: TransformFunction, limits: EvaluationLimits): Transform {
  return (message) => {
    try {
      const result = run(message.payload, message);
      return result instanceof Promise ? inTime(result, limits.timeoutMs) : given(result);
    } catch (error) {
      throw failed(error);
    }
  };
}

async function inTime(result: Promise<unknown>, timeoutMs: number): Promise<unknown> {
  const { promise: tooLong, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(failure("time", `it took longer than ${timeoutMs} ms`)), timeoutMs);
  try {
    return given(await Promise.race([result, tooLong]));
  } catch (error) {
    throw failed(error);
  } finally {
    clearTimeout(timer);
  }
}

function given(result: unknown): unknown {
  if (result === undefined)
    throw failure("error", "it gave undefined; give null when there is nothing to say");
  return result;
}

function failed(error: unknown): HeraldError {
  return isHeraldError(error) ? error : failure("error", describeThrown(error).replace(/\.$/, ""), error);
}

function failure(reason: "error" | "time", what: string, cause?: unknown): HeraldError {
  return new HeraldError("TRANSFORM_FAILED", `The transform's function gave no result: ${what}.`, {
    details: { reason },
    ...(cause === undefined ? {} : { cause }),
  });
}
