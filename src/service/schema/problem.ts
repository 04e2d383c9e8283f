import type { Segment } from "./path.ts";

/** One thing that is wrong with a schema as it is written. */
export interface SchemaProblem {
  /** Where, from the schema's root. */
  readonly segments: readonly Segment[];
  /** One clause that follows the name of the place: `must be …, not …`. */
  readonly message: string;
  readonly hint?: string;
  /** The key itself is wrong, not its value. */
  readonly onKey?: boolean;
}

/** A value as an error shows it, cut short. Never throws, also for what JSON does not have. */
export function show(value: unknown): string {
  const text = describe(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (!Array.isArray(value)) return "an object";
  return value.length === 0 ? "an empty list" : "a list";
}
