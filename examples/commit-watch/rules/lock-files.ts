import path from "node:path";
import type { Rule } from "./rule.ts";

/** Lock files with the manifest that they belong to. */
const MANIFESTS: Readonly<Record<string, string>> = {
  "package-lock.json": "package.json",
  "npm-shrinkwrap.json": "package.json",
  "yarn.lock": "package.json",
  "pnpm-lock.yaml": "package.json",
  "bun.lock": "package.json",
  "Cargo.lock": "Cargo.toml",
  "poetry.lock": "pyproject.toml",
  "go.sum": "go.mod",
};

/** True for the name of a lock file, without its folder. */
export function isLockFile(name: string): boolean {
  return Object.hasOwn(MANIFESTS, name);
}

/** A lock file that changes alone: what is installed changes, and no manifest says why. */
export const lockFiles: Rule = {
  name: "lock-files",
  *check({ files, parents, filesOmitted }) {
    // A merge shows only what it resolved, and of a cut list nobody knows what is missing.
    if (parents > 1 || filesOmitted > 0) return;
    const names = new Set(files.map((file) => path.posix.basename(file.path)));
    for (const file of files) {
      const name = path.posix.basename(file.path);
      const manifest = isLockFile(name) ? MANIFESTS[name] : undefined;
      if (manifest === undefined || names.has(manifest)) continue;
      yield {
        severity: "medium",
        path: file.path,
        line: 0,
        summary: `${name} changes and no ${manifest} does.`,
        evidence: `${file.added} lines added, ${file.removed} removed`,
        identity: `${file.path} alone`,
      };
    }
  },
};
