import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Commit, FileChange } from "../../examples/commit-watch/channels.ts";
import { LIMITS } from "../../examples/commit-watch/history/commit-builder.ts";
import { probeGit, readCommits } from "../../examples/commit-watch/history/git.ts";
import { linesOf } from "../../examples/commit-watch/history/lines.ts";
import { dependencies } from "../../examples/commit-watch/rules/dependencies.ts";
import { lockFiles } from "../../examples/commit-watch/rules/lock-files.ts";
import { changesOf } from "../../examples/commit-watch/rules/patch.ts";
import type { Rule } from "../../examples/commit-watch/rules/rule.ts";
import { secrets } from "../../examples/commit-watch/rules/secrets.ts";
import { GitRepository } from "../support/git-repository.ts";
import { BUSY_MS } from "../support/taking.ts";

const MAX_MESSAGE_BYTES = 1024 * 1024;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function all(repository: GitRepository): Promise<Commit[]> {
  return collect(readCommits(repository.folder));
}

function file(name: string, lines: readonly string[], more: Partial<FileChange> = {}): FileChange {
  const patch = [`@@ -0,0 +1,${lines.length} @@`, ...lines.map((line) => `+${line}`)].join("\n");
  return { path: name, added: lines.length, removed: 0, binary: false, patch, cut: false, ...more };
}

function commitOf(files: readonly FileChange[], more: Partial<Commit> = {}): Commit {
  const sha = "a".repeat(40);
  return {
    sha,
    parents: 1,
    author: "Ada",
    time: "2026-01-01T00:00:00.000Z",
    subject: "x",
    files,
    filesOmitted: 0,
    ...more,
  };
}

const check = (rule: Rule, ...files: readonly FileChange[]) => [...rule.check(commitOf(files))];

describe("reading a git history", () => {
  it("tells author, time, subject and parents, the oldest commit first", async () => {
    using repository = new GitRepository();
    const [first, second] = [
      repository.commit("the root", { a: "1\n" }),
      repository.commit("Zweiter – ✓", { a: "2\n" }),
    ];
    const commits = await all(repository);
    expect(commits.map(({ sha, parents, subject, author }) => ({ sha, parents, subject, author }))).toEqual([
      { sha: first, parents: 0, subject: "the root", author: "Ada Quay" },
      { sha: second, parents: 1, subject: "Zweiter – ✓", author: "Ada Quay" },
    ]);
    expect(commits[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
  });

  it("counts lines as git does, whatever a file is called or holds", async () => {
    using repository = new GitRepository();
    repository.commit("before", { "plain.txt": "one\ntwo\nthree\n", gone: "bye\n", "with space": "x\n" });
    repository.git("rm", "--quiet", "gone");
    repository.commit("after", {
      "plain.txt": "one\n2\n\n-- not a header\n++ nor this\n",
      "with space": "y\n",
      'tab\tand "quotes" and \\': "z\n",
      "ünï/✓.txt": "q",
      "blob.bin": new Uint8Array([1, 0, 2, 10]),
      empty: "",
    });
    const [, commit] = await all(repository);
    const counted = commit?.files.map(({ path, added, removed, binary }) =>
      binary ? `-\t-\t${path}` : `${added}\t${removed}\t${path}`,
    );
    const byGit = repository.git("show", "--format=", "--numstat", "-z", "HEAD").split("\0").filter(Boolean);
    // A tab in a path is shown as it is; git prints the same path with -z.
    expect(counted?.toSorted()).toEqual(byGit.toSorted());
  });

  it("shows of a merge what it resolved in its own way, and nothing of what it joined", async () => {
    using repository = new GitRepository();
    repository.commit("root", { shared: "a\nb\nc\n" });
    repository.git("checkout", "--quiet", "-b", "side");
    repository.commit("side", { shared: "side\nb\nc\n", joined: "from the side\n" });
    repository.git("checkout", "--quiet", "main");
    repository.commit("main", { shared: "main\nb\nc\n" });
    expect(() => repository.git("merge", "--quiet", "side")).toThrow();
    repository.commit("merge", { shared: "both\nb\nc\n" });
    const merge = (await all(repository)).at(-1);
    expect(merge).toMatchObject({ parents: 2, files: [{ path: "shared", added: 1 }] });
    expect(changesOf(merge?.files[0]?.patch ?? "")).toMatchObject({ added: [{ line: 1, text: "both" }] });
  });

  it("is not misled by content that looks like what git prints", async () => {
    using repository = new GitRepository();
    const liar = "diff --git a/x b/x\n@@ -1 +1 @@\n\0\0\n00000000 commit\nBinary files a/x and b/x differ\n";
    repository.commit("diff --git a/liar b/liar", { "liar.txt": liar.replaceAll("\0", "@") });
    repository.commit("second", { "second.txt": "x\n" });
    const commits = await all(repository);
    expect(commits.map(({ files }) => files.map(({ path, added }) => ({ path, added })))).toEqual([
      [{ path: "liar.txt", added: 5 }],
      [{ path: "second.txt", added: 1 }],
    ]);
  });

  it("keeps a commit below the size of a message, counts on behind the cut, and says where it cut", async () => {
    using repository = new GitRepository();
    const files: Record<string, string> = { "endless-line.txt": "x".repeat(3_000_000) };
    for (let i = 0; i < 12; i++) files[`big-${i}.txt`] = `${'\u0001\\"✓'.repeat(20)}\n`.repeat(3000);
    for (let i = 0; i < 2500; i++) files[`many/${"folder/".repeat(10)}${i}.txt`] = "x\n";
    repository.commit("too much", files);
    const [commit] = await all(repository);
    expect(Buffer.byteLength(JSON.stringify(commit))).toBeLessThan(MAX_MESSAGE_BYTES);
    expect(commit?.files.find(({ path }) => path === "big-0.txt")).toMatchObject({ added: 3000, cut: true });
    expect(commit?.files.find(({ path }) => path === "endless-line.txt")).toMatchObject({
      added: 1,
      cut: true,
    });
    expect(commit?.filesOmitted).toBeGreaterThan(0);
    expect((commit?.filesOmitted ?? 0) + (commit?.files.length ?? 0)).toBe(2513);
    for (const { patch } of commit?.files ?? []) expect(patch.length).toBeLessThanOrEqual(LIMITS.patchChars);
  });

  it("replaces what is no text and what steers a terminal", async () => {
    using repository = new GitRepository();
    repository.commit("red \u001b[31m and \u202ereversed", {
      odd: Buffer.from([0x41, 0xff, 0x1b, 0x5b, 0x42, 13, 10]),
    });
    const [commit] = await all(repository);
    expect(commit?.subject).toBe("red \ufffd[31m and \ufffdreversed");
    expect(commit?.files[0]?.patch).toBe("@@ -0,0 +1 @@\n+A\ufffd\ufffd[B");
  });

  it("reads only the newest commits, or one by its name, or what came after one", async () => {
    using repository = new GitRepository();
    const [a, b, c] = ["a", "b", "c"].map((name) => repository.commit(name, { [name]: name })) as [
      string,
      string,
      string,
    ];
    const names = async (range: Parameters<typeof readCommits>[1]) =>
      (await collect(readCommits(repository.folder, range))).map(({ sha }) => sha);
    expect(await names({ limit: 2 })).toEqual([b, c]);
    expect(await names({ limit: 1, upTo: a })).toEqual([a]);
    expect(await names({ after: a })).toEqual([b, c]);
  });

  it("does not let settings of the user change what is read", async () => {
    using repository = new GitRepository();
    repository.commit("root", { "a b": "1\n\n2\n" });
    repository.commit("change", { "a b": "1\n\n3\n" });
    const before = await all(repository);
    for (const [key, value] of Object.entries({
      "diff.noprefix": "true",
      "diff.mnemonicPrefix": "true",
      "diff.suppressBlankEmpty": "true",
      "diff.external": "/bin/false",
      "color.ui": "always",
      "log.showSignature": "true",
      "log.showRoot": "false",
      "log.date": "relative",
      "format.pretty": "oneline",
    })) {
      repository.git("config", key, value);
    }
    expect(await all(repository)).toEqual(before);
  });

  it("rejects with git's own words when the reading fails", async () => {
    using repository = new GitRepository();
    repository.commit("root", { a: "1\n" });
    await expect(collect(readCommits(repository.folder, { upTo: "nowhere" }))).rejects.toThrow("nowhere");
  });

  it("finds no history in a folder that is not there", async () => {
    expect(await probeGit("/no/such/folder")).toEqual({
      problem: expect.stringContaining("/no/such/folder") as string,
    });
  });
});

describe("splitting bytes into lines", () => {
  it("gives the same lines wherever the stream is broken", async () => {
    const chunks = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 12 }), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(chunks, async (texts) => {
        const stream = Readable.from(texts.filter(Boolean).map((text) => Buffer.from(text)));
        const lines = (await collect(linesOf(stream, 4))).flat();
        const whole = texts.join("").split("\n");
        if (whole.at(-1) === "") whole.pop();
        expect(lines.map(({ bytes, cut }) => ({ text: bytes.toString(), cut }))).toEqual(
          whole.map((text) => ({ text: text.slice(0, 4), cut: text.length > 4 })),
        );
      }),
    );
  });
});

describe("the lines of a patch", () => {
  it("have the numbers of the new file, and headers inside a hunk are content", () => {
    const patch =
      "@@ -3,3 +5,3 @@ some + thing\n context\n-old\n--- a\n+++ b\n\\ No newline at end of file\n@@ -20 +22 @@\n+late";
    expect(changesOf(patch)).toEqual({
      added: [
        { line: 6, text: "++ b" },
        { line: 22, text: "late" },
      ],
      removed: [
        { line: 6, text: "old" },
        { line: 6, text: "-- a" },
      ],
    });
  });
});

describe("the rule for secrets", () => {
  // Put together here, so that no scanner finds them in this file.
  const planted: readonly (readonly [severity: string, line: string, secret: string])[] = [
    ["critical", "-----BEGIN RSA {} KEY-----", "PRIVATE"],
    ["high", "key = {}", ["AKIA", "Q3EGPLANTED2XYZA"].join("")],
    [
      "critical",
      'aws_secret_access_key: "{}"',
      ["wJalrXUtnFEMI", "K7MDENGbPxRfiCY", "PLANTEDKEY12"].join(""),
    ],
    ["critical", "https://x:{}@github.com", ["ghp_", "R4nd0mL00k1ngT0k3nTh4t0pensN0th1ng00"].join("")],
    ["critical", "//registry/:_authToken={}", ["npm_", "R4nd0mL00k1ngT0k3nTh4t0pensN0th1ng00"].join("")],
    ["high", "slack {}", ["xoxb-", "1234567890-plantedtoken"].join("")],
    ["medium", 'const apiKey = "{}";', ["q8Zr1", "Lw0Xc5", "Vt2Nb9", "Km4Ps7"].join("")],
  ];

  it.each(planted)("finds a %s one in '%s' and never shows it", (severity, line, secret) => {
    const hits = check(secrets, file("src/x.txt", ["harmless", line.replace("{}", secret)]));
    expect(hits).toMatchObject([{ severity, path: "src/x.txt", line: 2 }]);
    const { identity: _identity, ...shown } = hits[0] ?? { identity: "" };
    if (secret !== "PRIVATE") expect(JSON.stringify(shown)).not.toContain(secret.slice(5));
  });

  it.each([
    'const password = "correct horse battery staple";',
    'const token = "${TOKEN_FROM_ENVIRONMENT_1}";',
    'password: "aaaaaaaaaaaaaaaaaaaaaaaa1"',
    '"integrity": "sha512-q8Zr1Lw0Xc5Vt2Nb9Km4Ps7q8Zr1Lw0Xc5Vt2Nb9Km4Ps7=="',
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
  ])("passes over %s", (line) => {
    expect(check(secrets, file("src/x.txt", [line]))).toEqual([]);
  });

  it("passes over what a commit removes, and over its own fixture", () => {
    const [, , secret] = planted[1] ?? ["", "", ""];
    expect(check(secrets, file("a", [], { patch: `@@ -1 +0,0 @@\n-${secret}` }))).toEqual([]);
    expect(check(secrets, file("examples/commit-watch/sample-history.jsonl", [secret]))).toEqual([]);
    expect(check(secrets, file("elsewhere/sample-history.jsonl", [secret]))).toHaveLength(1);
  });

  it("takes linear time over a hostile line", () => {
    const hostile = [
      "-----BEGIN ",
      "A ".repeat(8000),
      "password",
      " ".repeat(8000),
      "aws_secret_access_key".repeat(700),
    ].join("");
    const startedAt = performance.now();
    check(
      secrets,
      file(
        "a",
        Array.from({ length: 10 }, () => hostile),
      ),
    );
    expect(performance.now() - startedAt).toBeLessThan(1000 + BUSY_MS);
  });
});

describe("the rule for dependencies", () => {
  it.each([
    ["high", '"pilot": "git+ssh://git@git.example/pilot.git",'],
    ["high", '"pilot": "http://files.example/pilot.tgz"'],
    ["high", '"pilot": "harbour/pilot#main"'],
    ["high", '"postinstall": "node rigging.js"'],
    ["medium", '"pilot": "*"'],
    ["medium", '"pilot": "latest"'],
    ["medium", '"pilot": ">=1.0"'],
    ["low", '"pilot": "^1.2.3"'],
  ])("calls a new one %s: %s", (severity, line) => {
    expect(check(dependencies, file("app/package.json", [`    ${line}`]))).toMatchObject([
      { severity, line: 1 },
    ]);
  });

  it.each([
    '"version": "1.2.3",',
    '"main": "dist/index.js",',
    '"build": "tsc -p .",',
    '"node": ">=22"',
    '"homepage": "https://x.example"',
    '"types": "./a/b.d.ts"',
  ])("passes over %s", (line) => {
    expect(check(dependencies, file("package.json", [line]))).toEqual([]);
  });

  it("passes over an upgrade and over other files, and hides a login in an address", () => {
    const upgrade = '@@ -3 +3 @@\n-    "pilot": "1.0.0",\n+    "pilot": "1.0.1",';
    expect(check(dependencies, file("package.json", [], { patch: upgrade }))).toEqual([]);
    expect(check(dependencies, file("data.json", ['"pilot": "*"']))).toEqual([]);
    const [hit] = check(
      dependencies,
      file("package.json", ['"pilot": "https://me:hunter2@x.example/p.tgz"']),
    );
    expect(hit?.evidence).toBe('"pilot": "https://…@x.example/p.tgz"');
  });
});

describe("the rule for lock files", () => {
  it("speaks only of one that changes without its manifest", () => {
    const lock = file("app/package-lock.json", ["{}"]);
    expect(check(lockFiles, lock)).toMatchObject([
      { severity: "medium", path: "app/package-lock.json", line: 0 },
    ]);
    expect(check(lockFiles, lock, file("app/package.json", ["{}"]))).toEqual([]);
    expect([...lockFiles.check(commitOf([lock], { parents: 2 }))]).toEqual([]);
    expect([...lockFiles.check(commitOf([lock], { filesOmitted: 1 }))]).toEqual([]);
  });
});
