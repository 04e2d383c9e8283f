import { copySchema } from "./copy.ts";
import type { JsonSchema } from "./model.ts";
import type { SchemaProblem } from "./problem.ts";
import { checkRecursion, type LinkedSchema } from "./recursion.ts";
import { References } from "./references.ts";
import { SchemaWalk } from "./walk.ts";

/** A schema that may be compiled, or everything that is wrong with it. */
export type Inspection =
  | { readonly ok: true; readonly root: JsonSchema; readonly document: LinkedSchema }
  | { readonly ok: false; readonly problems: readonly SchemaProblem[] };

/**
 * Judges a JSON Schema before anything is compiled or run: limits, keywords and their values, patterns, references,
 * recursion. Never throws, reads no file and opens no connection.
 */
export function inspectSchema(schema: unknown): Inspection {
  const copied = copySchema(schema);
  if (!copied.ok) return { ok: false, problems: [copied.problem] };
  const root = copied.schema;
  const walk = new SchemaWalk(root);
  const references = new References(walk.nodes);
  const problems = [...walk.problems, ...references.problems];
  if (problems.length > 0) return { ok: false, problems };
  const document = { nodes: walk.nodes, targets: references.targets };
  const endless = checkRecursion(document);
  return endless === undefined ? { ok: true, root, document } : { ok: false, problems: [endless] };
}
