import type { TLocalizedValidationError } from "typebox/error";
import type { SchemaIssue } from "./model.ts";
import { pathText, type Segment } from "./path.ts";
import type { StandardIssue } from "./standard-schema.ts";

/** Most issues that one value is given. */
const MAX_ISSUES = 20;

/** The compiler's errors as issues: by path, in plain words, never with a value of the payload in them. */
export function schemaIssues(
  errors: readonly TLocalizedValidationError[],
  value: unknown,
): readonly SchemaIssue[] {
  const issues = new Map<string, SchemaIssue>();
  for (const error of errors) {
    const segments = segmentsOf(error.instancePath, value);
    for (const issue of issuesOf(error, segments)) issues.set(`${issue.path}: ${issue.message}`, issue);
  }
  const found = [...issues.values()].slice(0, MAX_ISSUES);
  return found.length > 0 ? found : [{ path: "", message: "does not match the schema" }];
}

/** What a Standard Schema found, as issues. */
export function standardIssues(found: readonly StandardIssue[]): readonly SchemaIssue[] {
  return found.slice(0, MAX_ISSUES).map(({ message, path }) => {
    const segments = (path ?? []).map((segment) => (typeof segment === "object" ? segment.key : segment));
    return { path: pathText(segments.map((key) => (typeof key === "symbol" ? String(key) : key))), message };
  });
}

function issuesOf(error: TLocalizedValidationError, segments: readonly Segment[]): readonly SchemaIssue[] {
  const at = (message: string, key?: string): SchemaIssue => ({
    path: pathText(key === undefined ? segments : [...segments, key]),
    message,
  });
  switch (error.keyword) {
    case "required":
      return error.params.requiredProperties.map((key) => at("is required", key));
    case "additionalProperties":
      // Each of these properties has an error of its own already, which says more.
      return [];
    case "unevaluatedProperties":
      return error.params.unevaluatedProperties
        .slice(0, MAX_ISSUES)
        .map((key) => at("is not allowed here", String(key)));
    case "boolean":
      return [at("is not allowed here")];
    case "enum":
      return [at(`must be one of ${listOf(error.params.allowedValues)}`)];
    case "const":
      return [at(`must be ${cut(String(JSON.stringify(error.params.allowedValue)))}`)];
    case "type":
      return [at(`must be ${[error.params.type].flat().join(" or ")}`)];
    case "format":
      return [at(`must be a valid ${error.params.format}`)];
    case "pattern":
      return [at(`must match ${cut(String(error.params.pattern))}`)];
    case "anyOf":
    case "oneOf":
      return [at(`must match ${ALTERNATIVES[error.keyword]}`)];
    default:
      return [at(error.message)];
  }
}

const ALTERNATIVES = { anyOf: "one of the schemas in anyOf", oneOf: "exactly one of the schemas in oneOf" };

function listOf(values: readonly unknown[]): string {
  return cut(values.map((value) => JSON.stringify(value)).join(", "));
}

/** A JSON Pointer into `value` as steps; whether a number is an index or a key, the value tells. */
function segmentsOf(pointer: string, value: unknown): readonly Segment[] {
  if (pointer === "") return [];
  let inside = value;
  return pointer
    .slice(1)
    .split("/")
    .map((part) => {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      const isIndex = Array.isArray(inside);
      inside =
        typeof inside === "object" && inside !== null ? (inside as Record<string, unknown>)[key] : undefined;
      return isIndex ? Number(key) : key;
    });
}

function cut(text: string): string {
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
