import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { envelope } from "../support/envelopes.ts";

const folder = mkdtempSync(path.join(tmpdir(), "herald-sqlite3-"));
const directory = path.join(folder, "store");
const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/brokers/file.md"), "utf8");
const lines = page.split("\n").filter((line) => line.startsWith("sqlite3 "));
const statements = lines.map((line) => (/^sqlite3 \S+ "(.*)"$/.exec(line)?.[1] ?? "").replaceAll('\\"', '"'));
const [tail = "", lag = "", dead = "", correlated = "", quarantine = "", post = ""] = statements;
let broker: FileBroker;

/** Why the command itself is not run here; undefined: it is. */
function whyNot(): string | undefined {
  try {
    const version = execFileSync("sqlite3", ["--version"], { encoding: "utf8" });
    const minor = Number(version.split(".")[1]);
    return minor >= 38 ? undefined : `sqlite3 is older than 3.38: ${version.trim()}`;
  } catch {
    return "there is no sqlite3 on this machine";
  }
}

beforeAll(async () => {
  broker = new FileBroker({ directory });
  await broker.open();
  const reader = await broker.subscribe({ pattern: "orders.*", group: "shop", prefetch: 10 });
  const body = (text: string) => new TextEncoder().encode(text);
  await broker.publish([
    envelope({ id: "first", channel: "orders.created", body: body('{"number":1}'), correlationId: "c-1" }),
    envelope({ id: "second", channel: "orders.created", body: body('{"number":2}'), priority: 10 }),
    envelope({
      id: "given-up",
      channel: "dlq.shop",
      body: body("{}"),
      headers: { "x-dlq-channel": "orders.paid" },
    }),
  ]);
  await reader.receive(1, 1000);
});

afterAll(async () => {
  await broker.close();
  rmSync(folder, { recursive: true });
});

/** Through SQLite's own library, as every machine has it. */
function rows(statement: string): readonly unknown[][] {
  const sql = new DatabaseSync(path.join(directory, "herald.db"));
  try {
    return sql
      .prepare(statement)
      .all()
      .map((row) => Object.values(row));
  } finally {
    sql.close();
  }
}

const SHOWS: readonly (readonly [name: string, statement: string, texts: readonly string[]])[] = [
  ["the tail", tail, ["orders.created", "first", '{"number":1}', '{"number":2}']],
  ["the lag", lag, ["shop", "orders.created", "2", "1"]],
  ["the dead letters", dead, ["given-up", "orders.paid"]],
  ["a correlation", correlated, ["first"]],
];

describe("the sqlite3 lines of docs/brokers/file.md", () => {
  it("are six", () => {
    expect(statements).toHaveLength(6);
    expect(statements.every((statement) => statement !== "")).toBe(true);
  });

  it.each(SHOWS)("show %s as text", (_name, statement, texts) => {
    const shown = rows(statement).flat().map(String);
    for (const text of texts) expect(shown).toContain(text);
  });

  it("find nothing damaged in a store that is whole", () => {
    expect(rows(quarantine)).toEqual([]);
  });

  const why = whyNot();
  it.skipIf(why !== undefined).each(SHOWS)(
    `show %s when the command itself is run${why === undefined ? "" : ` (NOT RUN: ${why})`}`,
    (_name, statement, texts) => {
      const shown = execFileSync("sqlite3", [path.join(directory, "herald.db"), statement], {
        encoding: "utf8",
      });
      for (const text of texts) expect(shown).toContain(text);
    },
  );

  it("publish by hand what a subscriber gets", async () => {
    const reader = await broker.subscribe({ pattern: "orders.created", group: "by-hand", prefetch: 10 });
    const waiting = reader.receive(1, 5000);
    rows(post);
    const [delivery] = await waiting;
    expect(new TextDecoder().decode(delivery?.envelope.body)).toBe('{"number":8}');
    expect([delivery?.envelope.source, delivery?.envelope.priority]).toEqual(["external", 50]);
    expect(delivery?.envelope.id).toMatch(/^[0-9a-f]{32}$/);
  });
});
