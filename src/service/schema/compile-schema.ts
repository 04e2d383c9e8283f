import { Compile } from "typebox/schema";
import { describeThrown, HeraldError } from "../../core/errors.ts";
import { inspectSchema } from "./inspect.ts";
import { schemaIssues, standardIssues } from "./issues.ts";
import type { SchemaIssue, SchemaLike, ValidationResult, Validator } from "./model.ts";
import { pathText } from "./path.ts";
import { prepareSchema } from "./prepare.ts";
import type { SchemaProblem } from "./problem.ts";
import { isStandardSchema, type StandardResult, type StandardSchemaV1 } from "./standard-schema.ts";

/** Saying where a value fails is interpreted and slow; beyond this many parts it would hold everything else up. */
const MAX_EXPLAINED_PARTS = 50_000;

/** How to compile a schema. */
export interface CompileOptions {
  /** What the schema is of, for error messages: `publishes 'code.commits'`. */
  readonly name?: string;
}

/**
 * Compiles a JSON Schema (draft-07 or 2020-12, `$schema` optional) or wraps a Standard Schema.
 *
 * A JSON Schema is judged first and refused with `UNSAFE_SCHEMA` (details: `path` in the schema, `problems`) when a keyword is
 * unknown or holds what it cannot hold; when it is deeper than 64 or larger than 256 KiB; when a `$ref` leads out of the
 * schema, to nothing, or in a circle; when a pattern can take exponential time, or faster than linear time with no
 * `maxLength` beside it; when it holds `$data`, a key `__proto__`, or dynamic references. Nothing is read or fetched. The schema
 * is copied: changing it afterwards changes nothing.
 *
 * Validation of a JSON Schema is synchronous, never throws and never changes the value; `default` fills nothing in. `format`
 * IS an assertion for every format that is known (date-time, email, uuid, uri and others), and an unknown format is refused: a
 * contract that names a format means it. Beside a `$ref` other keywords hold too, also under draft-07. A property whose value
 * is undefined counts as absent, as it will be in JSON.
 */
export function compileSchema(schema: SchemaLike, options: CompileOptions = {}): Validator {
  if (isStandardSchema(schema)) return { validate: (value) => runStandard(schema, value), json: undefined };
  const inspection = inspectSchema(schema);
  if (!inspection.ok) throw unsafeSchema(inspection.problems, options.name);
  const { root, document } = inspection;
  const compiled = Compile(prepareSchema(root, document));
  return { validate: (value) => runCompiled(compiled, value), json: root };
}

/** The error for a schema that inspection refused. */
function unsafeSchema(problems: readonly SchemaProblem[], name: string | undefined): HeraldError {
  const [first = { segments: [], message: "is refused" }, ...others] = problems;
  const path = pathText(first.segments);
  const where = `${name === undefined ? "The schema" : `The schema of ${name}`}${path === "" ? "" : ` at ${path}`}`;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  const listed = problems.map((problem) => ({ path: pathText(problem.segments), message: problem.message }));
  return new HeraldError(
    "UNSAFE_SCHEMA",
    `${where} ${first.message}.${first.hint === undefined ? "" : ` ${first.hint}`}${more}`,
    {
      details: { path, problems: listed },
    },
  );
}

interface Compiled {
  Check(value: unknown): boolean;
  Errors(value: unknown): readonly [boolean, Parameters<typeof schemaIssues>[0]];
}

function runCompiled(compiled: Compiled, value: unknown): ValidationResult {
  try {
    if (compiled.Check(value)) return { ok: true, value };
    return { ok: false, issues: explain(compiled, value) };
  } catch (error) {
    // A recursive schema on a value nested without bounds ends the stack: that value fits nothing that can be checked.
    if (error instanceof RangeError)
      return { ok: false, issues: [{ path: "", message: "is nested too deeply to be checked" }] };
    throw error;
  }
}

function explain(compiled: Compiled, value: unknown): readonly SchemaIssue[] {
  if (countParts(value, 0) <= MAX_EXPLAINED_PARTS) return schemaIssues(compiled.Errors(value)[1], value);
  return [
    {
      path: "",
      message: `does not match the schema; it has more than ${MAX_EXPLAINED_PARTS} parts, too many to say where`,
    },
  ];
}

function countParts(value: unknown, before: number): number {
  let parts = before + 1;
  if (typeof value !== "object" || value === null) return parts;
  for (const part of Object.values(value)) {
    if (parts > MAX_EXPLAINED_PARTS) return parts;
    parts = countParts(part, parts);
  }
  return parts;
}

function runStandard(schema: StandardSchemaV1, value: unknown): ValidationResult | Promise<ValidationResult> {
  try {
    const result = schema["~standard"].validate(value);
    return "then" in result ? Promise.resolve(result).then(standardResult, failed) : standardResult(result);
  } catch (error) {
    return failed(error);
  }
}

function standardResult(result: StandardResult<unknown>): ValidationResult {
  return result.issues === undefined
    ? { ok: true, value: result.value }
    : { ok: false, issues: standardIssues(result.issues) };
}

function failed(error: unknown): ValidationResult {
  return { ok: false, issues: [{ path: "", message: `the schema itself failed: ${describeThrown(error)}` }] };
}
