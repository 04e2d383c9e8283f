import path from "node:path";
import type { FileChange, Severity } from "../channels.ts";
import { isLockFile } from "./lock-files.ts";
import { changesOf, type PatchLine } from "./patch.ts";
import type { Hit, Rule } from "./rule.ts";

/** Fixtures with secrets that are fake on purpose. */
const FIXTURES: ReadonlySet<string> = new Set(["examples/commit-watch/sample-history.jsonl"]);

interface SecretPattern {
  readonly what: string;
  readonly severity: Severity;
  /** Global. The group `secret` is the secret, else the whole match. */
  readonly pattern: RegExp;
  /** Of the secret, these characters say only of what kind it is. */
  readonly kindChars: number;
  readonly isLikely?: (secret: string) => boolean;
}

/** Few and precise: a scanner that cries wolf is switched off. */
const PATTERNS: readonly SecretPattern[] = [
  {
    what: "a private key",
    severity: "critical",
    pattern: /-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----/g,
    kindChars: Infinity,
  },
  {
    what: "an AWS access key id",
    severity: "high",
    pattern: /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/g,
    kindChars: 4,
  },
  {
    what: "an AWS secret access key",
    severity: "critical",
    pattern:
      /aws_?secret_?access_?key["']?\s{0,4}[:=]\s{0,4}["']?(?<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])/gi,
    kindChars: 0,
  },
  {
    what: "a GitHub token",
    severity: "critical",
    pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})\b/g,
    kindChars: 4,
  },
  { what: "an npm token", severity: "critical", pattern: /\bnpm_[A-Za-z0-9]{36}\b/g, kindChars: 4 },
  { what: "a Slack token", severity: "high", pattern: /\bxox[abprs]-[A-Za-z0-9-]{10,200}/g, kindChars: 5 },
  {
    what: "a secret with its name",
    severity: "medium",
    pattern:
      /(?:secret|token|passwd|password|api_?key|credential)["']?\s{0,4}[:=]\s{0,4}["'](?<secret>[^"'\s]{20,200})["']/gi,
    kindChars: 0,
    isLikely: (secret) =>
      /[0-9]/.test(secret) && !/[${}<>()]|example/i.test(secret) && entropy(secret) >= 3.8,
  },
];

/** Leaked secrets in the lines that a commit adds. */
export const secrets: Rule = {
  name: "secrets",
  *check({ files }) {
    for (const file of files) {
      if (!file.binary && !isFixture(file)) yield* inFile(file);
    }
  },
};

/** True for a file whose secrets are fake on purpose. */
export function isFixture(file: FileChange): boolean {
  return FIXTURES.has(file.path);
}

function* inFile(file: FileChange): Generator<Hit> {
  // Checksums look like secrets, and a lock file is made of them.
  const patterns = isLockFile(path.posix.basename(file.path)) ? PATTERNS.filter(isPrecise) : PATTERNS;
  for (const line of changesOf(file.patch).added) {
    const seen = new Set<string>();
    for (const pattern of patterns) {
      for (const secret of find(pattern, line)) {
        // The general pattern must not tell again what a precise one has told.
        if ([...seen].some((known) => secret.includes(known))) continue;
        seen.add(secret);
        yield {
          severity: pattern.severity,
          path: file.path,
          line: line.line,
          summary: `The commit adds ${pattern.what}.`,
          evidence: redact(secret, pattern.kindChars),
          // All private keys begin alike: what tells them apart is where they are.
          identity: pattern.kindChars === Infinity ? `${file.path} ${secret}` : secret,
        };
      }
    }
  }
}

function* find({ pattern, isLikely }: SecretPattern, { text }: PatchLine): Generator<string> {
  for (const match of text.matchAll(pattern)) {
    const secret = match.groups?.["secret"] ?? match[0];
    if (isLikely === undefined || isLikely(secret)) yield secret;
  }
}

function isPrecise({ isLikely }: SecretPattern): boolean {
  return isLikely === undefined;
}

/** What may be shown of a secret: of what kind it is, and how long. */
function redact(secret: string, kindChars: number): string {
  if (kindChars >= secret.length) return secret;
  return `${secret.slice(0, kindChars)}… (${secret.length} characters)`;
}

/** Shannon entropy, bits a character: words have less than 3.5, random base64 has more than 4. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
