import { isHeraldError } from "../../core/errors.ts";
import { checkTogether } from "../../service/manifest/check-together.ts";
import { readManifestFile } from "../../service/manifest/load-manifest.ts";
import type { AgentManifest } from "../../service/manifest/model.ts";
import { readManifest } from "../../service/manifest/read-manifest.ts";
import type { ManifestIssue } from "../../service/manifest/report.ts";
import { isRoutingText, readRouting } from "../../service/routes/read-routing.ts";
import { EXIT, exitOfMany } from "../exit-codes.ts";
import { failureOf, type Failure } from "../failure.ts";
import type { Session } from "../session.ts";
import { printFindings, type Finding } from "../validate-view.ts";

/** What `herald validate` was given. */
export interface ValidateCommand {
  readonly files: readonly string[];
  /** Warnings are errors. */
  readonly strict: boolean;
  readonly format: "text" | "json" | "github";
}

interface Read {
  finding: Finding;
  readonly manifest: AgentManifest | undefined;
  /** Set where the file could not be read at all. */
  readonly failure: Failure | undefined;
  /** True for a file of routing rules. */
  readonly isRouting?: boolean;
}

/** Checks manifests one by one and, where there are several, against one another. */
export async function validate(
  { files, strict, format }: ValidateCommand,
  session: Session,
): Promise<number> {
  const reads: Read[] = [];
  for (const file of files) reads.push(await read(file));
  await judgeRouting(reads);
  // One file named twice is one agent that is to run twice.
  const manifests = new Map(
    reads.flatMap(({ finding, manifest }) => (manifest === undefined ? [] : [[finding.file, manifest]])),
  );
  const together = manifests.size > 1 ? checkTogether([...manifests.values()]) : [];
  const findings = reads.map(({ finding }) => {
    const issues = together.filter(({ file }) => file === finding.file);
    const of = (severity: string): ManifestIssue[] =>
      issues.filter((issue) => issue.severity === severity).map(plain);
    return judged(
      {
        ...finding,
        errors: [...finding.errors, ...of("error")],
        warnings: [...finding.warnings, ...of("warning")],
      },
      strict,
    );
  });
  printFindings(findings, format, session.output);
  const unreadable = reads.every(({ failure }) => failure !== undefined)
    ? reads[0]?.failure?.exit
    : undefined;
  return exitOfMany(findings.filter(({ valid }) => !valid).length, findings.length, unreadable ?? EXIT.data);
}

async function read(file: string): Promise<Read> {
  try {
    const text = await readManifestFile(file);
    if (isRoutingText(text)) return readRules(text, file);
    const { valid, dialect = null, manifest, errors, warnings } = readManifest(text, { file });
    const agentId = manifest?.agentId ?? null;
    return { finding: { file, valid, dialect, agentId, errors, warnings }, manifest, failure: undefined };
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    const failure = failureOf(error);
    const issue = { path: "", line: 0, column: 0, message: failure.message };
    return {
      finding: { file, valid: false, dialect: null, agentId: null, errors: [issue], warnings: [] },
      manifest: undefined,
      failure,
    };
  }
}

function readRules(text: string, file: string): Read {
  const { valid, errors, warnings } = readRouting(text, file);
  const finding = { file, valid, dialect: null, agentId: null, errors, warnings };
  return { finding, manifest: undefined, failure: undefined, isRouting: true };
}

/** Rules of all files hold together: circles, names that are there twice, and transforms are judged over all of them. */
async function judgeRouting(reads: readonly Read[]): Promise<void> {
  const routing = reads.filter(({ isRouting }) => isRouting === true);
  const [first] = routing;
  if (first === undefined || !routing.every(({ finding }) => finding.valid)) return;
  try {
    const { routingOf } = await import("../routing.ts");
    await routingOf([...new Set(routing.map(({ finding }) => finding.file))]);
  } catch (error) {
    const issue = { path: "", line: 0, column: 0, message: failureOf(error).message };
    first.finding = { ...first.finding, errors: [issue] };
  }
}

function judged(finding: Finding, strict: boolean): Finding {
  const errors = strict ? [...finding.errors, ...finding.warnings] : finding.errors;
  return { ...finding, errors, warnings: strict ? [] : finding.warnings, valid: errors.length === 0 };
}

/** One file may stand twice on the command line: whose issue it is shows in the line of its file. */
function plain({ path, line, column, message, hint }: ManifestIssue): ManifestIssue {
  return { path, line, column, message, ...(hint === undefined ? {} : { hint }) };
}
