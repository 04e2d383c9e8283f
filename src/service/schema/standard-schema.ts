/** One step of the way to a failing value: a key, or a segment that carries the key. */
type StandardPathSegment = PropertyKey | { readonly key: PropertyKey };

/** One thing that a Standard Schema found wrong. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly StandardPathSegment[] | undefined;
}

/** What `~standard.validate` gives: the value, perhaps changed, or what is wrong with it. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/**
 * A validator of any library that follows Standard Schema version 1 (https://standardschema.dev): Zod, Valibot, ArkType
 * and others. Only the type is written down here, so that no library is needed.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** True for anything with a `~standard.validate` function; some libraries' schemas are functions themselves. */
export function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard: unknown = (value as Record<string, unknown>)["~standard"];
  return (
    typeof standard === "object" &&
    standard !== null &&
    typeof (standard as Record<string, unknown>)["validate"] === "function"
  );
}
