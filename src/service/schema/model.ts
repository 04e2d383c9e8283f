import type { StandardSchemaV1 } from "./standard-schema.ts";

/** A JSON Schema as written, draft-07 or 2020-12: an object of keywords, or a boolean. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** What a payload can be held to: a JSON Schema, or in code a Standard Schema. */
export type SchemaLike = JsonSchema | StandardSchemaV1;

/** One place where a value does not fit its schema. */
export interface SchemaIssue {
  /** Like `data.items[0].name`; empty for the value itself. */
  readonly path: string;
  readonly message: string;
}

/** `value` is what the schema made of the input: a Standard Schema may change it, a JSON Schema never does. */
export type ValidationResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly issues: readonly SchemaIssue[] };

/** A compiled schema. */
export interface Validator {
  /** Never throws for a JSON Schema. Only a Standard Schema may answer with a promise. */
  readonly validate: (value: unknown) => ValidationResult | Promise<ValidationResult>;
  /** The JSON Schema it was made from; undefined for a Standard Schema. */
  readonly json: JsonSchema | undefined;
}
