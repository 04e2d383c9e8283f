import { isPlainObject, present, readObject, type KnownKeys, type Place } from "../manifest/object-reader.ts";
import { Problems } from "../manifest/problems.ts";
import { issueOf, type Locate, type ManifestIssue } from "../manifest/report.ts";
import { readYamlDocuments, type YamlText } from "../manifest/yaml-document.ts";
import { show } from "../schema/problem.ts";
import type { RoutingDocument, RoutingReport } from "./model.ts";
import { readDefaultRoute, readRule, readTransform } from "./read-parts.ts";

const API_VERSION = /^ossa\/v0\.3\.\d+(?:-[A-Za-z0-9.]+)?$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;
const SPEC: KnownKeys = {
  keys: ["rules", "defaultRoute", "transforms"],
  hints: { routes: "rules", routing: "rules", default: "defaultRoute", transform: "transforms" },
};

/**
 * Reads the `kind: MessageRouting` documents (`apiVersion: ossa/v0.3.x`) of a YAML or JSON text, which may hold several. Reports
 * everything that is wrong with each, with line, column, path and a hint. What rules of several documents say of each other
 * is judged when they are put to use. Never throws.
 */
export function readRouting(text: string, file?: string): RoutingReport {
  const reads = readYamlDocuments(text).map((document) => readText(document, file));
  if (reads.length === 0) return report(file, [readValue(undefined, { file, locate: START })]);
  return report(file, reads);
}

/** As {@link readRouting}, of one document that is an object in code. */
export function readRoutingObject(document: unknown): RoutingReport {
  return report(undefined, [
    readValue(document, { file: undefined, locate: () => ({ line: 0, column: 0 }) }),
  ]);
}

/** True for a text whose first document says that it is one of these. */
export function isRoutingText(text: string): boolean {
  const [first] = readYamlDocuments(text);
  return isPlainObject(first?.value) && first.value["kind"] === "MessageRouting";
}

interface Read {
  readonly document: RoutingDocument | undefined;
  readonly errors: readonly ManifestIssue[];
  readonly warnings: readonly ManifestIssue[];
}

const START: Locate = () => ({ line: 1, column: 1 });

function report(file: string | undefined, reads: readonly Read[]): RoutingReport {
  const errors = reads.flatMap((read) => read.errors);
  return {
    valid: errors.length === 0,
    file,
    documents: reads.flatMap(({ document }) => document ?? []),
    errors,
    warnings: reads.flatMap((read) => read.warnings),
  };
}

function readText({ value, errors, locate }: YamlText, file: string | undefined): Read {
  if (errors.length === 0) return readValue(value, { file, locate });
  const issues = errors.map(({ position, segments, ...problem }) =>
    issueOf({ segments, ...problem }, () => position),
  );
  return { document: undefined, errors: issues, warnings: [] };
}

function readValue(
  value: unknown,
  { file, locate }: { readonly file: string | undefined; readonly locate: Locate },
): Read {
  const problems = new Problems();
  const document = readDocument(value, { segments: [], problems, document: value }, file);
  const issues = (kind: "errors" | "warnings"): ManifestIssue[] =>
    problems[kind]
      .map((problem) => issueOf(problem, locate))
      .toSorted((a, b) => a.line - b.line || a.column - b.column);
  const errors = issues("errors");
  return { document: errors.length === 0 ? document : undefined, errors, warnings: issues("warnings") };
}

function readDocument(root: unknown, place: Place, file: string | undefined): RoutingDocument | undefined {
  const { problems } = place;
  if (!isPlainObject(root)) {
    const message = root === undefined || root === null ? "is empty" : "must be an object";
    problems.error({ segments: [], message, expected: "apiVersion, kind, metadata and spec" });
    return undefined;
  }
  checkHead(root, problems);
  const name = readName(root, problems);
  const spec = readObject(root["spec"], { ...place, segments: ["spec"] }, SPEC);
  if (spec === undefined || name === undefined) return undefined;
  const transforms = readTransforms(spec.raw("transforms"), spec.at("transforms"));
  if (!spec.has("rules"))
    problems.error({ segments: ["spec"], message: "has no rules", expected: "a list rules", onKey: true });
  const context = { document: name, transforms: Object.keys(transforms) };
  const rules = spec
    .list("rules")
    .flatMap(([item, at], index) => readRule(item, at, { ...context, index }) ?? []);
  reportRepeated(
    rules.map(({ id }) => id),
    spec.at("rules"),
  );
  const defaultRoute = spec.has("defaultRoute") ? readDefaultRoute(spec) : undefined;
  return present<RoutingDocument>({ name, rules, defaultRoute, transforms, file });
}

function checkHead({ apiVersion, kind }: Readonly<Record<string, unknown>>, problems: Problems): void {
  if (typeof apiVersion !== "string" || !API_VERSION.test(apiVersion)) {
    const message =
      apiVersion === undefined ? "is missing" : `is ${show(apiVersion)}, which is not read here`;
    problems.error({ segments: ["apiVersion"], message, expected: "ossa/v0.3.x, such as ossa/v0.3.1" });
  }
  if (kind !== "MessageRouting") {
    const message = kind === undefined ? "is missing" : `is ${show(kind)}, which is not read here`;
    const hint =
      kind === "Agent" ? "Agents have files of their own; give this one as a manifest." : undefined;
    problems.error({
      segments: ["kind"],
      message,
      expected: "MessageRouting",
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function readName(root: Readonly<Record<string, unknown>>, problems: Problems): string | undefined {
  const metadata = root["metadata"];
  const name = isPlainObject(metadata) ? metadata["name"] : undefined;
  if (typeof name === "string" && NAME.test(name)) return name;
  const message = name === undefined ? "is missing" : `is ${show(name)}, which cannot be a name`;
  const expected = "1 to 100 characters of A-Z a-z 0-9 _ . -";
  problems.error({ segments: ["metadata", "name"], message, expected });
  return undefined;
}

function readTransforms(value: unknown, place: Place): RoutingDocument["transforms"] {
  if (value === undefined || value === null) return {};
  if (!isPlainObject(value)) {
    place.problems.error({
      segments: place.segments,
      message: `must be an object, not ${show(value)}`,
      expected: "names of transforms, each with type and expression",
    });
    return {};
  }
  const specs = Object.entries(value).map(([name, item]) => {
    const at = { ...place, segments: [...place.segments, name] };
    return [name, readTransform(item, at, name)] as const;
  });
  // One that is wrong is reported once: rules that name it are not told that it is missing.
  return Object.fromEntries(specs) as RoutingDocument["transforms"];
}

function reportRepeated(ids: readonly string[], { segments, problems }: Place): void {
  const first = new Map<string, number>();
  for (const [index, id] of ids.entries()) {
    const before = first.get(id);
    if (before === undefined) first.set(id, index);
    else
      problems.error({
        segments: [...segments, index, "id"],
        message: `is there twice: rules[${before}] has ${id} already`,
        hint: "Keep one of them.",
      });
  }
}
