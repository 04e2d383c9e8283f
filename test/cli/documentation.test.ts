import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { manifest, withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

const PAGE = readFileSync(path.resolve(import.meta.dirname, "../../docs/cli.md"), "utf8");
const shapes = [...PAGE.matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(
  ([, text]) => JSON.parse(text as string) as Record<string, unknown>,
);

/** The shape on the page that has this type, and this key where a type has several. */
function documented(type: string, key?: string): string[] {
  const shape = shapes.find(
    (candidate) => candidate["type"] === type && (key === undefined || key in candidate),
  );
  return Object.keys(shape ?? {}).toSorted();
}

function keysOf(line: object | undefined): string[] {
  return Object.keys(line ?? {}).toSorted();
}

describe("docs/cli.md", () => {
  it("names every exit code", () => {
    const named = [...PAGE.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, codes]) =>
      (codes as string).split(", ").map(Number),
    );
    expect(named.toSorted((a, b) => a - b)).toEqual(Object.values(EXIT).toSorted((a, b) => a - b));
  });

  it("names every command that the help names", async () => {
    const { stdout } = await call(["--help"]);
    const commands = [
      ...(stdout.split("Commands:\n")[1]?.split("\n\n")[0] ?? "").matchAll(/^ {2}(\w+) /gm),
    ].map(([, name]) => name as string);
    const missing = commands.filter((name) => name !== "help" && !PAGE.includes(`| \`${name}`));
    expect([commands.length > 8, missing]).toEqual([true, []]);
  });

  it.each([
    ["published", ["publish", "orders.created", '{"id":1}', ...withAgents("packer")], "id"],
    ["channel", ["publish", "orders.created", '{"id":1}', ...withAgents("packer")], "handled"],
    ["summary", ["publish", "orders.created", '{"id":1}', ...withAgents("packer")], undefined],
    ["dead-letter", ["dlq", "list", ...withAgents("seller", "packer")], undefined],
    ["started", ["run", "--until-idle", manifest("packer")], undefined],
    ["reply", ["request", "shop.price", '{"item":"a"}', ...withAgents("shop")], undefined],
    ["redrive", ["dlq", "redrive", "--all", ...withAgents("seller", "packer")], undefined],
    ["purge", ["dlq", "purge", "--all", ...withAgents("seller", "packer")], undefined],
    ["lag", ["lag", ...withAgents("seller", "packer")], undefined],
    ["channel", ["channels", ...withAgents("seller", "packer")], "publishers"],
    [
      "rule",
      ["route", "explain", '{"channel":"orders.created","source":"shop"}', "-r", manifest("rules")],
      undefined,
    ],
    [
      "copy",
      ["route", "explain", '{"channel":"orders.created","source":"shop"}', "-r", manifest("rules")],
      undefined,
    ],
    [
      "route",
      ["route", "explain", '{"channel":"orders.created","source":"shop"}', "-r", manifest("rules")],
      undefined,
    ],
  ])("has the shape of %s as %j prints it", async (type, argv, key) => {
    const { stdout } = await call([...argv, "--json"]);
    const line = jsonLines(stdout).find((candidate) => candidate["type"] === type);
    expect(keysOf(line)).toEqual(documented(type, key));
    expect(line).toBeDefined();
  });

  it.each([
    ["broker", ["broker", "status"]],
    ["broker-test", ["broker", "test", "--messages", "3"]],
  ])("has the shape of %s as %j prints it on the project's file broker", async (type, argv) => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-cli-"));
    const { stdout } = await call([...argv, "--json", "--url", `file:${folder}`]);
    expect(jsonLines(stdout).map((line) => [line["type"], keysOf(line)])).toEqual([[type, documented(type)]]);
    rmSync(folder, { recursive: true });
  });

  it("has the shapes of validate, doctor and errors", async () => {
    const shape = (key: string) => shapes.find((candidate) => key in candidate) ?? {};
    const [validated] = jsonLines((await call(["validate", "--json", manifest("broken")])).stdout);
    expect(keysOf(validated)).toEqual(keysOf(shape("dialect")));
    const [issue] = (validated?.["errors"] ?? []) as object[];
    expect(keysOf(issue)).toEqual(keysOf((shape("dialect")["errors"] as object[])[0]));
    const checks = jsonLines((await call(["doctor", "--json", "-m", manifest("throws")])).stdout);
    expect(keysOf(checks.at(-1))).toEqual(keysOf(shape("check")));
    const [failed] = jsonLines(
      (await call(["publish", "--json", "orders.created", "{}", ...withAgents("packer")])).stderr,
    );
    expect(keysOf(failed?.["error"] as object)).toEqual(keysOf(shape("error")["error"] as object));
  });
});
