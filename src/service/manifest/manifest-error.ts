import { HeraldError } from "../../core/errors.ts";
import type { ManifestReport } from "./report.ts";

/**
 * The error for a manifest that cannot be used: `INVALID_MANIFEST`, one sentence about the first problem with file, line and
 * column, and how many more there are. Details: `file`, `path`, `issues`.
 */
export function manifestError(
  report: Pick<ManifestReport, "file" | "valid" | "errors" | "warnings">,
): HeraldError {
  const [first, ...others] = report.errors;
  const file = report.file ?? "The manifest";
  if (first === undefined) {
    return new HeraldError("INTERNAL", `${file} has no errors, so there is nothing to report.`);
  }
  const place = first.line === 0 ? file : `${file}:${first.line}:${first.column}`;
  const subject = first.path === "" ? "the manifest" : first.path;
  const hint = first.hint === undefined ? "" : ` ${first.hint}`;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return new HeraldError("INVALID_MANIFEST", `${place}: ${subject} ${first.message}.${hint}${more}`, {
    details: { file: report.file, path: first.path, issues: report.errors },
  });
}
