import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readManifest } from "../src/service/manifest/read-manifest.ts";
import { isRoutingText, readRouting } from "../src/service/routes/read-routing.ts";
import { run } from "./support/run.ts";
import type { ServerHandle } from "./support/servers/handle.ts";
import { startNats } from "./support/servers/nats.ts";
import { whyNone, type Technology } from "./support/servers/technologies.ts";
import { whenFound } from "./support/servers/when.ts";
import { startRabbit } from "./support/servers/rabbitmq.ts";
import { startKafka } from "./support/servers/kafka.ts";
import { startRedis } from "./support/servers/redis.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
/** Below the package itself, so that `import … from "herald"` finds it. */
const FOLDER = mkdtempSync(path.join(ROOT, "coverage-docs-"));

/** Commands that a test of their own runs, on a clean clone or in an empty folder. */
const RUN_ELSEWHERE = new Set(["npm start", "npm test"]);

/** Where a person's server listens, and what is started in its place for the blocks that talk to one. */
const USUAL: Readonly<Record<string, readonly [Technology, () => Promise<ServerHandle>]>> = {
  "redis://127.0.0.1:6379": ["redis", startRedis],
  "nats://127.0.0.1:4222": ["nats", startNats],
  "kafka://127.0.0.1:9092": ["kafka", startKafka],
  "amqp://127.0.0.1:5672": ["rabbitmq", startRabbit],
};

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
  const examples = readdirSync(path.join(ROOT, "examples")).map((name) =>
    path.join("examples", name, "README.md"),
  );
  return [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/README.md",
    ...examples.filter((file) => existsSync(path.join(ROOT, file))),
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

/** The servers of these tests, each started for the first block that talks to one. */
const servers = new Map<string, Promise<ServerHandle>>();

/** The text of a block, with the address of a server that runs where it names the usual one. */
async function atServer(text: string): Promise<string> {
  let found = text;
  for (const [usual, [, start]] of Object.entries(USUAL)) {
    if (!text.includes(usual)) continue;
    const server = servers.get(usual) ?? start();
    servers.set(usual, server);
    found = found.replaceAll(usual, (await server).url);
  }
  return found;
}

/** Declares the test of a block, unless a server that it talks to cannot be had. */
function whenServed(name: string, { text }: Block, declare: () => void): void {
  const named = Object.entries(USUAL).filter(([usual]) => text.includes(usual));
  const lacking = named.map(([, [technology]]) => technology).find((one) => whyNone(one) !== undefined);
  if (lacking === undefined) declare();
  else whenFound(lacking, whyNone(lacking), declare, name);
}

afterAll(async () => {
  rmSync(FOLDER, { recursive: true, force: true });
  for (const server of servers.values()) await (await server).stop();
});

describe("the documents", () => {
  it("use only languages that are checked here", () => {
    const known = new Set(["ts", "sh", "yaml", "json", "text"]);
    expect(blocks.length).toBeGreaterThan(8);
    expect(blocks.filter((block) => !known.has(block.language))).toEqual([]);
  });

  const checked = async (name: string, block: Block) => {
    const file = path.join(FOLDER, `${name.replace(/\W+/g, "-")}.ts`);
    writeFileSync(file, await atServer(block.text));

    const ran = await run(process.execPath, [file], { cwd: ROOT });

    expect(ran.stderr).toBe("");
    expect(ran.code).toBe(0);
    const promised = [...block.text.matchAll(/console\.log\(.*\);? \/\/ (.+)$/gm)].map(
      (match) => match[1] as string,
    );
    const printed = ran.stdout.split("\n");
    for (const line of promised) expect(printed).toContain(line);
  };
  for (const [name, block] of named("ts"))
    whenServed(name, block, () =>
      it(`${name} runs and prints what its comments say`, () => checked(name, block)),
    );

  it.each(named("sh"))("%s: every command ends well", async (_name, block) => {
    const lines = block.text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    for (const line of lines.filter((command) => !RUN_ELSEWHERE.has(command))) {
      const ran = await run(
        "bash",
        ["-c", `herald() { "${process.execPath}" src/cli/main.ts "$@"; }\n${line}`],
        { cwd: ROOT, env: { ...process.env, HERALD_URL: `file:${path.join(FOLDER, "broker")}` } },
      );

      expect({ line, code: ran.code, stderr: ran.code === 0 ? "" : ran.stderr }).toEqual({
        line,
        code: 0,
        stderr: "",
      });
    }
  });

  it.each(named("yaml"))("%s is a valid manifest", (_name, block) => {
    const read = isRoutingText(block.text) ? readRouting : readManifest;
    expect(read(block.text)).toMatchObject({ valid: true, errors: [], warnings: [] });
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
