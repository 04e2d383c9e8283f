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

/** A value as an error shows it: JSON, cut short. */
export function show(value: unknown): string {
  const text =
    typeof value === "object" && value !== null
      ? describeObject(value)
      : String(JSON.stringify(value) ?? typeof value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function describeObject(value: object): string {
  if (!Array.isArray(value)) return "an object";
  return value.length === 0 ? "an empty list" : "a list";
}
