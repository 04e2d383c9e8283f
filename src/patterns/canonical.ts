import canonicalize from "canonicalize";
import { describeThrown, HeraldError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";

/**
 * A value as canonical JSON (RFC 8785): two texts are equal when the values are. What JSON has no word for is left out or
 * `null`, as `JSON.stringify` does it. Throws `UNSERIALIZABLE` for a cycle, a number that is not finite, half a surrogate pair,
 * and `DEPTH_LIMIT` for what is nested deeper than a message may be.
 */
export function canonicalJson(value: unknown): string {
  const text = written(value ?? null);
  const { maxDepth } = DEFAULT_LIMITS;
  if (isDeeper(value, maxDepth)) throw tooDeep(maxDepth);
  return text;
}

function written(value: unknown): string {
  try {
    return canonicalize(value) ?? "null";
  } catch (error) {
    const message = `The value is no JSON: ${describeThrown(error)}. Store plain data.`;
    throw new HeraldError("UNSERIALIZABLE", message, { cause: error });
  }
}

function isDeeper(value: unknown, left: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (left === 0) return true;
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], left - 1)) return true;
  return false;
}

function tooDeep(maxDepth: number): HeraldError {
  const message = `The value is nested deeper than ${maxDepth} levels: store it flatter.`;
  return new HeraldError("DEPTH_LIMIT", message, { details: { maxDepth } });
}
