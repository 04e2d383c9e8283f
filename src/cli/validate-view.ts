import type { ManifestIssue } from "../service/manifest/report.ts";
import type { Output } from "./output.ts";
import { count, cut, printable, wrap } from "./text.ts";

/** What was found about one manifest; the shape of a line of `--format json`. */
export interface Finding {
  readonly file: string;
  readonly valid: boolean;
  readonly dialect: string | null;
  readonly agentId: string | null;
  readonly errors: readonly ManifestIssue[];
  readonly warnings: readonly ManifestIssue[];
}

/** Prints findings for people, as JSON lines, or as annotations of GitHub Actions. */
export function printFindings(
  findings: readonly Finding[],
  format: "text" | "json" | "github",
  output: Output,
): void {
  if (format === "json") for (const finding of findings) output.json(jsonOf(finding));
  else if (format === "github") for (const finding of findings) output.lines(annotations(finding));
  else for (const finding of findings) output.lines(page(finding, output));
}

function jsonOf({ errors, warnings, ...rest }: Finding): object {
  return { ...rest, errors: errors.map(issueJson), warnings: warnings.map(issueJson) };
}

function issueJson({ path, line, column, message, expected, hint }: ManifestIssue): object {
  return { path, line, column, message, hint: hint ?? null, ...(expected === undefined ? {} : { expected }) };
}

function page({ file, valid, dialect, agentId, errors, warnings }: Finding, output: Output): string[] {
  const word = valid ? output.paint("good", "valid  ") : output.paint("bad", "invalid");
  const facts = [...(agentId === null ? [] : [`agent ${agentId}`]), ...(dialect === null ? [] : [dialect])];
  if (errors.length > 0) facts.push(count(errors.length, "error"));
  if (warnings.length > 0) facts.push(count(warnings.length, "warning"));
  const head = cut(printable([file, facts.join(", ")].join("  ").trimEnd()), output.width - 9);
  return [
    `${word}  ${head}`,
    ...errors.flatMap((issue) => issueLines(issue, output.paint("bad", "error"), output)),
    ...warnings.flatMap((issue) => issueLines(issue, output.paint("waiting", "warning"), output)),
  ];
}

function issueLines(
  { path, line, column, message, hint }: ManifestIssue,
  word: string,
  output: Output,
): string[] {
  const place = line > 0 ? `${line}:${column}  ` : "";
  const said = wrap(printable(path === "" ? message : `${path} ${message}`), output.width, "    ");
  const advice = hint === undefined ? [] : wrap(printable(hint), output.width, "    ");
  return [`  ${place}${word}`, ...said, ...advice];
}

/** Workflow commands: `::error file=…,line=…,col=…::message`. */
function annotations({ file, errors, warnings }: Finding): string[] {
  const annotate =
    (level: string) =>
    (issue: ManifestIssue): string => {
      const { path, line, column, message, hint } = issue;
      const place = line > 0 ? `,line=${line},col=${column}` : "";
      const text = [path === "" ? message : `${path} ${message}`, ...(hint === undefined ? [] : [hint])].join(
        ". ",
      );
      return `::${level} file=${property(file)}${place}::${data(text)}`;
    };
  return [...errors.map(annotate("error")), ...warnings.map(annotate("warning"))];
}

/** What would end the message, or begin another command. */
function data(text: string): string {
  return printable(text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A"));
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
