import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockHolders, usersOf, writerOf } from "./lock-holders.ts";

let directory: string;
let file: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "herald-locks-"));
  file = path.join(directory, "herald.db");
});
afterEach(() => {
  child?.kill("SIGKILL");
  child = undefined;
  rmSync(directory, { recursive: true });
});

/** Another process that opens the database, does this, and stays; resolves to its id. */
async function holder(statement: string): Promise<number> {
  const script = `const { DatabaseSync } = require("node:sqlite");
    const sql = new DatabaseSync(${JSON.stringify(file)}); sql.exec("PRAGMA journal_mode = WAL; ${statement}");
    console.log("holding"); setInterval(() => sql, 1000);`;
  const started = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  child = started;
  await new Promise((resolve) => started.stdout.once("data", resolve));
  return started.pid as number;
}

describe.runIf(existsSync("/proc/locks"))("who holds the locks of a database", () => {
  it("is nobody for a file that is not there or not open", () => {
    expect(lockHolders(file)).toEqual([]);
    new DatabaseSync(file).close();
    expect(usersOf(file)).toEqual([]);
    expect(writerOf(file)).toBeUndefined();
  });

  it("is every process that has it open, this one too, and no longer when it is closed or killed", async () => {
    const own = new DatabaseSync(file);
    own.exec("PRAGMA journal_mode = WAL; CREATE TABLE one (n)");
    const pid = await holder("SELECT 1 FROM one");
    expect(usersOf(file)?.toSorted()).toEqual([process.pid, pid].toSorted());
    expect(writerOf(file)).toBeUndefined();
    own.close();
    expect(usersOf(file)).toEqual([pid]);
    const ended = new Promise((resolve) => child?.once("exit", resolve));
    child?.kill("SIGKILL");
    await ended;
    expect(usersOf(file)).toEqual([]);
  });

  it("is the one process that keeps the others from writing", async () => {
    const pid = await holder("CREATE TABLE one (n); BEGIN IMMEDIATE");
    expect(writerOf(file)).toBe(pid);
  });

  it("is also a process that has locked the whole database for itself", async () => {
    const pid = await holder("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE one (n); BEGIN EXCLUSIVE");
    expect(writerOf(file)).toBe(pid);
  });
});
