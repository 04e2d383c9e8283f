import { HeraldError } from "../../core/errors.ts";
import { pathText } from "../schema/path.ts";
import { NO_MESSAGING, readMessaging } from "./messaging.ts";
import type { MessagingSpec } from "./model.ts";
import { Problems } from "./problems.ts";
import { issueOf } from "./report.ts";

/**
 * Reads the `messaging` option of a service: the same shape as `spec.messaging` of a manifest, both dialects and their
 * spellings, normalised to one; here a schema may also be a Standard Schema. Undefined declares nothing. `where` begins the
 * paths in errors. Throws one `INVALID_MANIFEST` that names the first problem and how many more there are; details: `issues`
 * with all of them.
 */
export function parseMessaging(input: unknown, where = "messaging"): MessagingSpec {
  if (input === undefined) return NO_MESSAGING;
  const problems = new Problems();
  const spec = readMessaging(input, { segments: [], problems });
  const [first, ...others] = problems.errors;
  if (first === undefined) return spec;
  const issues = problems.errors.map((problem) => {
    const issue = issueOf(problem, () => ({ line: 0, column: 0 }));
    const path = pathText(problem.segments);
    const dot = path === "" || path.startsWith("[") ? "" : ".";
    return { ...issue, path: `${where}${dot}${path}` };
  });
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  const hint = first.hint === undefined ? "" : ` ${first.hint}`;
  throw new HeraldError("INVALID_MANIFEST", `${issues[0]?.path} ${first.message}.${hint}${more}`, {
    details: { path: issues[0]?.path, issues },
  });
}
