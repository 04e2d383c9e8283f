import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readManifest } from "../src/service/manifest/read-manifest.ts";
import { run } from "./support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
/** Below the package itself, so that `import … from "herald"` finds it. */
const FOLDER = mkdtempSync(path.join(ROOT, "coverage-docs-"));

/** Commands that a test of their own runs, on a clean clone or in an empty folder. */
const RUN_ELSEWHERE = new Set(["npm start", "npm test"]);

interface Block {
  readonly document: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function documents(): string[] {
  const below = readdirSync(path.join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map((file) =>
    path.join("docs", file),
  );
  const example = path.join("examples", "commit-watch", "README.md");
  return [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    ...(existsSync(path.join(ROOT, example)) ? [example] : []),
    ...below.filter((file) => file.endsWith(".md")),
  ];
}

function blocksOf(document: string): Block[] {
  const text = readFileSync(path.join(ROOT, document), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    document,
    line: text.slice(0, match.index).split("\n").length,
    language: match[1] as string,
    text: match[2] as string,
  }));
}

const blocks = documents().flatMap(blocksOf);
const named = (language: string): [string, Block][] =>
  blocks
    .filter((block) => block.language === language)
    .map((block) => [`${block.document}:${block.line}`, block]);

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

describe("the documents", () => {
  it("use only languages that are checked here", () => {
    const known = new Set(["ts", "sh", "yaml", "json", "text"]);
    expect(blocks.length).toBeGreaterThan(8);
    expect(blocks.filter((block) => !known.has(block.language))).toEqual([]);
  });

  it.each(named("ts"))("%s runs and prints what its comments say", async (name, block) => {
    const file = path.join(FOLDER, `${name.replace(/\W+/g, "-")}.ts`);
    writeFileSync(file, block.text);

    const ran = await run(process.execPath, [file], { cwd: ROOT });

    expect(ran.stderr).toBe("");
    expect(ran.code).toBe(0);
    const promised = [...block.text.matchAll(/console\.log\(.*\);? \/\/ (.+)$/gm)].map(
      (match) => match[1] as string,
    );
    const printed = ran.stdout.split("\n");
    for (const line of promised) expect(printed).toContain(line);
  });

  it.each(named("sh"))("%s: every command ends well", async (_name, block) => {
    const lines = block.text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    for (const line of lines.filter((command) => !RUN_ELSEWHERE.has(command))) {
      const ran = await run(
        "bash",
        ["-c", `herald() { "${process.execPath}" src/cli/main.ts "$@"; }\n${line}`],
        { cwd: ROOT },
      );

      expect({ line, code: ran.code, stderr: ran.code === 0 ? "" : ran.stderr }).toEqual({
        line,
        code: 0,
        stderr: "",
      });
    }
  });

  it.each(named("yaml"))("%s is a valid manifest", (_name, block) => {
    expect(readManifest(block.text)).toMatchObject({ valid: true, errors: [], warnings: [] });
  });

  it.each(named("json"))("%s is JSON", (_name, block) => {
    expect(() => JSON.parse(block.text) as unknown).not.toThrow();
  });

  it("link to files that exist", () => {
    const broken = documents().flatMap((document) => {
      const text = readFileSync(path.join(ROOT, document), "utf8");
      const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] as string);
      return links.filter((link) => !existsSync(path.join(ROOT, path.dirname(document), link)));
    });
    expect(broken).toEqual([]);
  });
});
