import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { checksum } from "../../src/brokers/file/sql/quarantine.ts";
import { FORMAT, SCHEMA } from "../../src/brokers/file/sql/schema.ts";

/** A new folder in memory where there is one: what is tested is what is written, not how long a disk takes. */
export function scratchFolder(name: string): string {
  return mkdtempSync(path.join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `herald-${name}-`));
}

const STORED_AT = 1_700_000_000_000;
const FILES = ["herald.db", "herald.db-wal", "herald.db-shm"];

/** A store with messages in it, written as the broker writes them and open as long as nobody closes it. */
export interface SampleStore {
  readonly directory: string;
  readonly sql: DatabaseSync;
  /** Stores one message of `bytes` bytes more and commits; gives its position. */
  append(channel: string, bytes: number): number;
}

/** Makes a store in `directory` without a broker. */
export function createStore(directory: string): SampleStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = path.join(directory, "herald.db");
  closeSync(openSync(file, "wx", 0o600));
  const sql = new DatabaseSync(file);
  sql.exec(
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0",
  );
  sql.exec(SCHEMA);
  sql.exec(
    `INSERT INTO store VALUES (1, ${FORMAT}, 0, 0, 0, '', 0); INSERT INTO groups(name) VALUES ('readers')`,
  );
  let seq = 0;
  const insert = sql.prepare("INSERT INTO messages VALUES (?, ?, ?, NULL, NULL, ?, NULL, ?, ?)");
  const grow = sql.prepare(
    "UPDATE lanes SET last_seq = ?, first_seq = CASE first_seq WHEN 0 THEN ? ELSE first_seq END, appended = appended + 1, held = held + 1 WHERE id = ?",
  );
  const laneOf = (channel: string): number => {
    sql.prepare("INSERT OR IGNORE INTO channels(name) VALUES (?)").run(channel);
    const { id } = sql.prepare("SELECT id FROM channels WHERE name = ?").get(channel) as { id: number };
    sql.prepare("INSERT OR IGNORE INTO lanes(channel_id, priority) VALUES (?, 50)").run(id);
    const lane = Number(sql.prepare("SELECT id FROM lanes WHERE channel_id = ?").get(id)?.["id"]);
    sql.prepare("INSERT OR IGNORE INTO cursors VALUES (1, ?, 0, 0)").run(lane);
    return lane;
  };
  const append = (channel: string, bytes: number): number => {
    sql.exec("BEGIN IMMEDIATE");
    const lane = laneOf(channel);
    seq += 1;
    const attributes = JSON.stringify({ id: `m-${seq}`, source: "sample" });
    const body = Buffer.alloc(bytes, `${seq};`);
    const row = {
      seq,
      stored_at: STORED_AT,
      deliver_at: null,
      partition_key: null,
      attributes,
      headers: null,
      body,
    };
    insert.run(seq, lane, STORED_AT, attributes, body, checksum(row, lane));
    grow.run(seq, seq, lane);
    sql.prepare("UPDATE store SET seq = ?").run(seq);
    sql.exec("COMMIT");
    return seq;
  };
  return { directory, sql, append };
}

/**
 * Copies a store as a killed process leaves it; without `shm` as a power cut does. Another process copies: closing a file
 * of SQLite's in here would give up the locks that this process holds on it.
 */
export function copyStore(from: string, to: string, shm = true): void {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true, mode: 0o700 });
  const files = FILES.slice(0, shm ? 3 : 2).map((name) => path.join(from, name));
  execFileSync("cp", ["-p", ...files.filter((file) => existsSync(file)), to]);
}

/** Turns bits of one byte of a file. */
export function flipBits(file: string, at: number, mask: number): void {
  const byte = readFileSync(file)[at] as number;
  const handle = openSync(file, "r+");
  writeSync(handle, Uint8Array.of(byte ^ mask), 0, 1, at);
  closeSync(handle);
}
