import type { DefaultRoute, RoutingRule } from "../../routing/rules/rule.ts";
import type { ManifestIssue } from "../manifest/report.ts";
import type { SchemaLike } from "../schema/model.ts";

/** How a payload is made over, as a document declares it. */
export interface TransformSpec {
  readonly type: "jsonata" | "jmespath" | "template" | "custom";
  /** Text of the language; of a template any JSON; of `custom` the name of a function, by default the transform's own. */
  readonly expression: unknown;
  readonly outputSchema?: SchemaLike;
}

/** One `kind: MessageRouting` document. */
export interface RoutingDocument {
  /** `metadata.name`. */
  readonly name: string;
  readonly rules: readonly RoutingRule[];
  readonly defaultRoute?: DefaultRoute;
  readonly transforms: Readonly<Record<string, TransformSpec>>;
  /** The file it was read from. */
  readonly file: string | undefined;
}

/** What became of reading routing documents; `documents` are those without errors. */
export interface RoutingReport {
  readonly valid: boolean;
  readonly file: string | undefined;
  readonly documents: readonly RoutingDocument[];
  /** In the order of the file. */
  readonly errors: readonly ManifestIssue[];
  readonly warnings: readonly ManifestIssue[];
}
