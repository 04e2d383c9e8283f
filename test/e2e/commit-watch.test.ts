import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Summary } from "../../examples/commit-watch/summary.ts";
import { checkTogether } from "../../src/service/manifest/check-together.ts";
import { readManifest } from "../../src/service/manifest/read-manifest.ts";
import { GitRepository } from "../support/git-repository.ts";
import { run, type Ran } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const MAIN = path.join(ROOT, "examples/commit-watch/main.ts");
// Put together here, so that no scanner finds it in this file.
const AWS_KEY = ["AKIA", "Q3EGPLANTED2XYZA"].join("");
const GITHUB_TOKEN = ["ghp_", "R4nd0mL00k1ngT0k3nTh4t0pensN0th1ng00"].join("");

const DATA = mkdtempSync(path.join(tmpdir(), "herald-runs-"));
afterAll(() => rmSync(DATA, { recursive: true, force: true }));

let runs = 0;
/** The options that give a run a folder of its own. */
const ownFolder = (): readonly string[] => ["--data", path.join(DATA, `run-${++runs}`)];

const start = (...args: readonly string[]): Promise<Ran> =>
  run(process.execPath, [MAIN, ...args, ...ownFolder()], { cwd: ROOT });
const summaryOf = (ran: Ran): Summary => JSON.parse(ran.stdout) as Summary;

/** Kept in mind by every test: nothing is lost, and the rows add up to the totals. */
function expectBalance({ channels, totals, commitsScanned }: Summary): void {
  for (const row of [...channels, totals]) {
    const ended = row.handled + row.filtered + row.deadLettered + row.lost + row.repeated + row.waiting;
    expect({ ...row, ended }).toMatchObject({ ended: row.published + row.carried });
  }
  for (const key of ["published", "handled", "filtered", "deadLettered", "retried"] as const) {
    expect(channels.reduce((sum, row) => sum + row[key], 0)).toBe(totals[key]);
  }
  const commits = channels.find(({ channel }) => channel === "code.commits");
  expect(commits?.handled).toBe(commitsScanned);
}

function plantHistory(): GitRepository {
  const repository = new GitRepository();
  const manifest = (...lines: string[]) => `{\n  "name": "harbour",\n${lines.join("\n")}\n}\n`;
  repository.commit("a root", {
    "package.json": manifest('  "version": "1.0.0"'),
    "package-lock.json": "{}\n",
  });
  repository.git("checkout", "--quiet", "-b", "side");
  repository.commit("on the side", { "shared.txt": "side\n", "deploy/crane.env": `KEY=${AWS_KEY}\n` });
  repository.git("checkout", "--quiet", "main");
  repository.commit("on main", {
    "shared.txt": "main\n",
    "logo.png": new Uint8Array([0x89, 0x50, 0, 1, 2, 255, 10, 0]),
  });
  try {
    repository.git("merge", "--quiet", "side");
  } catch {
    // The conflict is wanted: it is resolved below, in the merge itself.
  }
  repository.commit("a merge with a word of its own", { "shared.txt": "both\n" });
  repository.commit("only the lock file", { "package-lock.json": '{ "lockfileVersion": 3 }\n' });
  repository.commit("odd bytes", {
    "bytes.txt": Buffer.concat([
      Buffer.from("caf\xe9 \x1b[31mred\x1b[0m \x07\r\n", "latin1"),
      Buffer.from([0xff, 0xfe, 10]),
    ]),
    'päth "quoted"\tand tabbed.txt': "x\n",
    "long.txt": `${"long ".repeat(100_000)}\n${"line\n".repeat(50_000)}`,
  });
  repository.commit("nothing at all", {});
  repository.commit("a token", { "src/client.js": `const token = "${GITHUB_TOKEN}";\n` });
  repository.commit("a dependency from afar", {
    "package.json": manifest(
      '  "version": "1.0.0",',
      '  "dependencies": { },',
      '  "pilot": "git+https://git.example/pilot.git"',
    ),
  });
  return repository;
}

describe("commit-watch on a history with a merge, a binary, planted secrets and a lock file that changes alone", () => {
  let repository: GitRepository;
  let json: Ran;
  let text: Ran;
  let summary: Summary;

  beforeAll(async () => {
    repository = plantHistory();
    json = await start(repository.folder, "--json");
    text = await start(repository.folder);
    summary = summaryOf(json);
  });
  afterAll(() => repository[Symbol.dispose]());

  it("ends by itself with 0, also for people", () => {
    expect([json.code, text.code]).toEqual([0, 0]);
    expect(text.stderr).toBe("");
  });

  it("scans every commit of the history in the end", () => {
    const commits = Number(repository.git("rev-list", "--count", "HEAD"));
    expect(commits).toBe(9);
    expect(summary).toMatchObject({
      origin: "git",
      state: "consumed",
      reason: null,
      failure: null,
      commitsScanned: commits,
    });
  });

  it("accounts for every message", () => {
    expectBalance(summary);
    expect(summary.totals).toMatchObject({ waiting: 0, lost: 0, deadLettersLeft: 0 });
  });

  it("shows a retry, two dead letters, a republished and a redriven one", () => {
    expect(summary.totals.retried).toBe(3);
    expect(
      summary.deadLetters.map(({ code, attempts, treatment }) => ({ code, attempts, treatment })),
    ).toEqual([
      { code: "MALFORMED", attempts: 1, treatment: "republished" },
      { code: "HANDLER_FAILED", attempts: 3, treatment: "redriven" },
    ]);
    expect(summary.totals).toMatchObject({ deadLettered: 2, redriven: 1, republished: 1 });
  });

  it("publishes once what it finds, although the history is scanned with retries", () => {
    expect(summary.findings).toEqual({ low: 0, medium: 1, high: 2, critical: 1 });
    const found = summary.incidents.map(({ severity, rule, path: file, line, sightings }) => ({
      severity,
      rule,
      file,
      line,
      sightings,
    }));
    expect(found).toEqual([
      { severity: "critical", rule: "secrets", file: "src/client.js", line: 1, sightings: 1 },
      expect.objectContaining({ severity: "high" }),
      expect.objectContaining({ severity: "high" }),
    ]);
    expect(found).toContainEqual({
      severity: "high",
      rule: "secrets",
      file: "deploy/crane.env",
      line: 1,
      sightings: 1,
    });
    expect(found).toContainEqual({
      severity: "high",
      rule: "dependencies",
      file: "package.json",
      line: 5,
      sightings: 1,
    });
  });

  it("answers a query for each serious finding and one about everything, and a command for each incident", () => {
    expect(summary.totals.queriesAnswered).toBe(4);
    const opened = summary.channels.find(({ channel }) => channel === "agent.triage.commands.open_incident");
    expect(opened).toMatchObject({ published: 3, handled: 3 });
  });

  it("says which diffs were too long to be scanned to their end", () => {
    expect(summary.notScanned).toEqual({ filesCut: 1, filesOmitted: 0, fixturesSkipped: 0 });
  });

  it("never prints a planted secret", () => {
    for (const printed of [json.stdout, json.stderr, text.stdout, text.stderr]) {
      expect(printed).not.toContain(AWS_KEY);
      expect(printed).not.toContain(GITHUB_TOKEN);
      expect(printed).not.toContain(AWS_KEY.slice(4));
      expect(printed).not.toContain(GITHUB_TOKEN.slice(4));
    }
    expect(text.stdout).toContain("AKIA… (20 characters)");
    expect(text.stdout).toContain("ghp_… (40 characters)");
  });

  it("prints nothing that steers a terminal when stdout is none", () => {
    // oxlint-disable-next-line no-control-regex -- control characters are what must not be there.
    expect(text.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });

  it("reads only the newest commits when it is told so, and shows every drill even with one", async () => {
    const one = summaryOf(await start(repository.folder, "--json", "--limit", "1"));
    expectBalance(one);
    expect(one.commitsScanned).toBe(1);
    expect(one.incidents).toHaveLength(1);
    expect(one.totals).toMatchObject({ deadLettered: 2, republished: 1, redriven: 1 });
  });
});

describe("commit-watch where there is no history", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-nogit-"));
  const sample = readFileSync(path.join(ROOT, "examples/commit-watch/sample-history.jsonl"), "utf8")
    .trim()
    .split("\n");
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("says why, and takes the sample instead", async () => {
    const ran = await start(folder, "--json", "--watch");
    const summary = summaryOf(ran);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain("cannot be read (not a git repository");
    expect(summary).toMatchObject({ origin: "sample", state: "consumed", commitsScanned: sample.length });
    expect(summary.reason).toContain("not a git repository");
    expectBalance(summary);
  });

  it("finds what is planted in the sample, and filters what is low", async () => {
    const summary = summaryOf(await start(folder, "--json"));
    expect(summary.findings).toEqual({ low: 1, medium: 3, high: 4, critical: 5 });
    expect(summary.totals.filtered).toBe(1);
    expect(summary.incidents.map(({ severity }) => severity)).toEqual([
      "critical",
      "critical",
      "critical",
      "high",
      "high",
      "high",
    ]);
    expect(summary.incidents.filter(({ sightings }) => sightings === 2)).toHaveLength(2);
  });

  it("says that git is missing", async () => {
    const ran = await run(process.execPath, [MAIN, ROOT, "--json", ...ownFolder()], {
      cwd: ROOT,
      env: { PATH: folder },
    });
    expect(summaryOf(ran)).toMatchObject({ origin: "sample", reason: "git is not installed" });
  });

  it("says that a repository has no commits yet", async () => {
    using repository = new GitRepository();
    const ran = await start(repository.folder, "--json");
    expect(summaryOf(ran)).toMatchObject({ origin: "sample", reason: "the repository has no commits yet" });
  });
});

describe("commit-watch that is interrupted", () => {
  it("drains, tells how far it came and ends with 130", async () => {
    using repository = new GitRepository();
    repository.commit("the first", { "a.txt": "a\n" });
    const watching = new Watching(repository.folder);
    await watching.said("watching  for new commits");
    repository.commit("the second", { "deploy.env": `KEY=${AWS_KEY}\n` });
    await watching.said("commits scanned: 2");
    watching.child.kill("SIGINT");
    const { code, output } = await watching.ended;
    expect(code).toBe(130);
    expect(output).toContain("draining");
    expect(output).toMatch(/Commits +2 scanned .*\(interrupted\)/);
    expect(output).toMatch(/Incidents +1\n/);
    expect(output).not.toContain(AWS_KEY);
    expect(output).not.toContain("DOES NOT HOLD");
  });

  it("handles what was published when the reading of a history is cut short", async () => {
    using repository = new GitRepository();
    repository.fill(6000);
    const child = spawn(process.execPath, [MAIN, repository.folder, "--json", ...ownFolder()], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    child.stdout.on("data", (chunk) => (stdout += chunk));
    // The first failed attempt is told while the reading goes on.
    child.stderr.once("data", () => child.stderr.once("data", () => child.kill("SIGINT")));
    const code = await new Promise((resolve) => child.on("close", resolve));
    const summary = JSON.parse(stdout) as Summary;
    expect(code).toBe(130);
    expect(summary.state).toBe("interrupted");
    expect(summary.commitsScanned).toBeLessThan(6000);
    expect(summary.totals.waiting).toBe(0);
    expectBalance(summary);
  });
});

describe("the command line of commit-watch", () => {
  it.each([
    [["--limit", "0"], 64, "--limit must be a whole number of 1 or more, not '0'."],
    [["--limit", "many"], 64, "not 'many'"],
    [["--frob"], 64, "--frob"],
    [[".", ".."], 64, "One repository at a time"],
    [["/no/such/folder"], 66, "There is no folder '/no/such/folder'"],
  ])("refuses %j with %i and a sentence", async (args, code, sentence) => {
    const ran = await start(...args);
    expect(ran).toMatchObject({ code, stdout: "" });
    expect(ran.stderr).toContain(sentence);
    expect(ran.stderr).not.toContain("    at ");
  });

  it("tells its exit codes when asked for help", async () => {
    const ran = await start("--help");
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout).toContain("130 interrupted");
  });
});

describe("the manifests of commit-watch", () => {
  const reports = ["commit-source", "security-scanner", "triage"].map((name) => {
    const file = path.join(ROOT, "examples/commit-watch", `${name}.yaml`);
    return readManifest(readFileSync(file, "utf8"), { file });
  });

  it("are read without an error or a warning", () => {
    for (const report of reports) expect(report).toMatchObject({ valid: true, errors: [], warnings: [] });
  });

  it("go together", () => {
    const issues = checkTogether(reports.flatMap(({ manifest }) => manifest ?? []));
    expect(reports).toHaveLength(3);
    expect(issues.filter(({ severity }) => severity === "error")).toEqual([]);
  });
});

/** The example at work, with everything that it has said. */
class Watching {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
  #output = "";
  #onOutput: () => void = () => {};

  constructor(folder: string) {
    const child = spawn(process.execPath, [MAIN, folder, "--watch", ...ownFolder()], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.child = child;
    child.stdout.on("data", (chunk) => {
      this.#output += chunk;
      this.#onOutput();
    });
    this.ended = new Promise((resolve) =>
      child.on("close", (code) => resolve({ code, output: this.#output })),
    );
  }

  said(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#onOutput = () => {
        if (this.#output.includes(text)) resolve();
      };
      this.#onOutput();
    });
  }
}
