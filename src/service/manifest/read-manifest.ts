import { isHeraldError } from "../../core/errors.ts";
import { checkAgentId } from "../../core/names.ts";
import { show } from "../schema/problem.ts";
import { readMessaging, NO_MESSAGING } from "./messaging.ts";
import type { AgentManifest, MessagingSpec } from "./model.ts";
import { isPlainObject, present, type Place } from "./object-reader.ts";
import { Problems } from "./problems.ts";
import { rememberPlaces } from "./places.ts";
import { issueOf, type Locate, type ManifestIssue, type ManifestReport } from "./report.ts";
import { readYaml, type SyntaxProblem } from "./yaml-document.ts";

const API_VERSION = /^ossa\/v0\.3\.\d+(?:-[A-Za-z0-9.]+)?$/;
const OLDER = /^ossa\/v0\.[0-2](?:\.|$)/;

/** How to read a manifest. */
export interface ReadOptions {
  /** What the text was read from, for messages. */
  readonly file?: string;
}

/**
 * Reads an agent's manifest (`apiVersion: ossa/v0.3.x, kind: Agent`) from YAML or JSON text, in dialect D1 or D2 with their
 * aliases and snake_case spellings. Reports everything that is wrong, with line, column, path, what was expected and a
 * hint; schemas are inspected, and unknown keys inside `spec.messaging` are errors. Never throws.
 */
export function readManifest(text: string, options: ReadOptions = {}): ManifestReport {
  const { file } = options;
  const { value, errors, locate } = readYaml(text);
  if (errors.length > 0) return { valid: false, file, errors: errors.map(syntaxIssue), warnings: [] };
  const problems = new Problems();
  const manifest = readAgent(value, { file, problems });
  const report = {
    file,
    dialect: problems.dialect,
    errors: issuesOf(problems, "errors", locate),
    warnings: issuesOf(problems, "warnings", locate),
  };
  if (manifest === undefined || report.errors.length > 0) return { valid: false, ...report };
  rememberPlaces(manifest, locate);
  return { valid: true, ...report, manifest };
}

function syntaxIssue({ position, segments, ...problem }: SyntaxProblem): ManifestIssue {
  return issueOf({ segments, ...problem }, () => position);
}

function issuesOf(problems: Problems, kind: "errors" | "warnings", locate: Locate): readonly ManifestIssue[] {
  return problems[kind]
    .map((problem) => issueOf(problem, locate))
    .toSorted((a, b) => a.line - b.line || a.column - b.column);
}

interface AgentContext {
  readonly file: string | undefined;
  readonly problems: Problems;
}

type PlainObject = Readonly<Record<string, unknown>>;

function readAgent(root: unknown, { file, problems }: AgentContext): AgentManifest | undefined {
  if (!isPlainObject(root)) {
    const message = root === undefined || root === null ? "is empty" : "must be an object";
    problems.error({ segments: [], message, expected: "apiVersion, kind, metadata and spec" });
    return undefined;
  }
  if (!isReadable(root, problems)) return undefined;
  const metadata = readPart(root, "metadata", problems);
  const agentId = readAgentId(metadata, problems);
  const messaging = readSpec(root, problems);
  warnOfMixture(problems);
  if (agentId === undefined) return undefined;
  return present<AgentManifest>({
    agentId,
    agentName: textOf(metadata?.["displayName"] ?? metadata?.["display_name"]),
    apiVersion: String(root["apiVersion"]),
    description: textOf(metadata?.["description"]),
    messaging,
    file,
    dialect: problems.dialect,
  });
}

/** Is it a manifest of a version and kind that is read here? If not, nothing else in it means what it seems to mean. */
function isReadable(root: PlainObject, problems: Problems): boolean {
  const { apiVersion, kind } = root;
  const before = problems.errors.length;
  if (typeof apiVersion !== "string" || !API_VERSION.test(apiVersion)) {
    const given = apiVersion === undefined ? "is missing" : `is ${show(apiVersion)}, which is not read here`;
    const hint = hintForVersion(apiVersion);
    problems.error({
      segments: ["apiVersion"],
      message: given,
      expected: "ossa/v0.3.x, such as ossa/v0.3.0",
      hint,
    });
  }
  if (kind !== "Agent") {
    const given = kind === undefined ? "is missing" : `is ${show(kind)}, which is not read here`;
    problems.error({
      segments: ["kind"],
      message: given,
      expected: "Agent",
      hint: "Write kind: Agent; one file declares one agent.",
    });
  }
  return problems.errors.length === before;
}

function hintForVersion(apiVersion: unknown): string {
  if (typeof apiVersion !== "string") return "Write apiVersion: ossa/v0.3.0.";
  if (OLDER.test(apiVersion))
    return "Messaging came with ossa/v0.3.0: raise apiVersion to it and keep messaging under spec.";
  return apiVersion.startsWith("ossa/") ? "Only versions 0.3.x are read." : "Write it like ossa/v0.3.0.";
}

function readPart(root: PlainObject, key: string, problems: Problems): PlainObject | undefined {
  const value = root[key];
  if (isPlainObject(value)) return value;
  const message =
    value === undefined ? "is missing" : `must be an object, not ${value === null ? "nothing" : show(value)}`;
  problems.error({ segments: [key], message, expected: "an object" });
  return undefined;
}

function readAgentId(metadata: PlainObject | undefined, problems: Problems): string | undefined {
  if (metadata === undefined) return undefined;
  const name: unknown = metadata["name"];
  try {
    checkAgentId(name);
    return name;
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    const message = name === undefined ? "is missing" : `is ${show(name)}, which cannot be an agent's id`;
    const expected = "1 to 100 characters of A-Z a-z 0-9 _ : -";
    problems.error({
      segments: ["metadata", "name"],
      message,
      expected,
      hint: "It becomes part of channel names.",
    });
    return undefined;
  }
}

function readSpec(root: PlainObject, problems: Problems): MessagingSpec {
  if (root["messaging"] !== undefined) {
    problems.error({
      segments: ["messaging"],
      message: "is not read here",
      hint: "Move it under spec.",
      onKey: true,
    });
  }
  const spec = readPart(root, "spec", problems);
  if (spec === undefined) return NO_MESSAGING;
  const place: Place = { segments: ["spec", "messaging"], problems, document: root };
  const { messaging } = spec;
  if (messaging === undefined || messaging === null) {
    problems.warn({
      segments: ["spec"],
      message: "declares no messaging, so that the agent only takes part in code",
      onKey: true,
    });
    return NO_MESSAGING;
  }
  return readMessaging(messaging, place);
}

function warnOfMixture(problems: Problems): void {
  const { mixture } = problems;
  if (mixture === undefined) return;
  const message = `mixes two dialects of OSSA 0.3, so that no validator of either takes it: ${mixture.D1.join(", ")} beside ${mixture.D2.join(", ")}`;
  problems.warn({ segments: ["spec", "messaging"], message, onKey: true });
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
