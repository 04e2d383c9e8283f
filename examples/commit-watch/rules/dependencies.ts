import path from "node:path";
import type { FileChange, Severity } from "../channels.ts";
import { changesOf, type PatchLine } from "./patch.ts";
import type { Hit, Rule } from "./rule.ts";

const ENTRY = /^\s*"(?<key>[^"]{1,214})"\s*:\s*"(?<value>[^"]{0,500})"\s*,?\s*$/;
/** Scripts that run on the machine of whoever installs the package. */
const INSTALL_SCRIPTS: ReadonlySet<string> = new Set(["preinstall", "install", "postinstall"]);
/** Keys of package.json that are no dependency though their values look like a version, an address or a repository. */
const NO_PACKAGES: ReadonlySet<string> = new Set(
  "version node npm url homepage bugs funding registry directory packageManager type main module types bin browser import require default license".split(
    " ",
  ),
);
const ADDRESS = /^(?:git\+|git:|ssh:|https?:|github:|gitlab:|bitbucket:|gist:)/;
/** `user/repository` is short for an address at GitHub; a path to a file is not. */
const SHORTHAND = /^[\w-]+\/[\w.-]+(?:#\S*)?$/;
const FILE = /\.(?:[cm]?[jt]sx?|json|css|html|md)$/;
const WILDCARD = /^(?:\*|x|latest|>=?\s?\d[\w.]*)$/i;
const VERSION = /^(?:[~^=]?\d+\.[\w.+-]+|workspace:.*|npm:.*)$/;

interface Judgement {
  readonly severity: Severity;
  readonly what: string;
}

/** New dependencies and scripts in `package.json` that deserve a look, from git addresses to new packages. */
export const dependencies: Rule = {
  name: "dependencies",
  *check({ files }) {
    for (const file of files) {
      if (path.posix.basename(file.path) === "package.json") yield* inManifest(file);
    }
  },
};

function* inManifest(file: FileChange): Generator<Hit> {
  const { added, removed } = changesOf(file.patch);
  const before = new Map(removed.map(entryOf).filter((entry) => entry !== undefined));
  for (const line of added) {
    const [key, value] = entryOf(line) ?? [];
    if (key === undefined || value === undefined || before.get(key) === value) continue;
    const judgement = judge(key, value, before.has(key));
    if (judgement === undefined) continue;
    yield {
      severity: judgement.severity,
      path: file.path,
      line: line.line,
      summary: `${key} ${judgement.what}.`,
      evidence: `"${key}": "${withoutLogin(value)}"`,
      identity: `${key} ${value}`,
    };
  }
}

/** The worst that can be said of an entry. */
function judge(key: string, value: string, wasThere: boolean): Judgement | undefined {
  if (INSTALL_SCRIPTS.has(key)) return { severity: "high", what: "runs when the package is installed" };
  if (NO_PACKAGES.has(key)) return undefined;
  if (ADDRESS.test(value) || (SHORTHAND.test(value) && !FILE.test(value)))
    return { severity: "high", what: "comes from an address instead of a registry" };
  if (WILDCARD.test(value)) return { severity: "medium", what: "may be any version" };
  if (!wasThere && VERSION.test(value)) return { severity: "low", what: "is a new dependency" };
  return undefined;
}

function entryOf({ text }: PatchLine): [key: string, value: string] | undefined {
  const { key, value } = ENTRY.exec(text)?.groups ?? {};
  return key === undefined || value === undefined ? undefined : [key, value];
}

/** An address may hold a password. */
function withoutLogin(value: string): string {
  return value.replace(/\/\/[^/@\s]*@/, "//…@");
}
