import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createId } from "../../src/core/ids.ts";
import { createEnvelope, type Envelope } from "../../src/core/envelope.ts";
import { PAYLOAD } from "../memory/service.ts";

const BODY = new TextEncoder().encode(JSON.stringify(PAYLOAD));

/** Runs in a folder of its own. */
export async function inFolder<T>(run: (directory: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-bench-"));
  try {
    return await run(path.join(folder, "store"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An envelope as the service makes it: 200 bytes of JSON, an id, a correlation, a trace. */
export function makeEnvelope(): Envelope {
  const id = createId();
  return createEnvelope({
    id,
    channel: "bench.messages",
    source: "bench",
    time: Date.now(),
    body: BODY,
    correlationId: id,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
}

/** The raw client doing the same: a table, one prepared insert, a commit for each batch, the same pragmas. */
export function rawInserts(directory: string, batch: number, durationMs: number): number {
  const sql = new DatabaseSync(`${directory}.raw`);
  sql.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096");
  sql.exec(
    "CREATE TABLE messages(seq INTEGER PRIMARY KEY, channel TEXT, id TEXT, attributes TEXT, body BLOB)",
  );
  const insert = sql.prepare("INSERT INTO messages(channel, id, attributes, body) VALUES (?, ?, ?, ?)");
  const attributes = JSON.stringify({
    source: "bench",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  let count = 0;
  const startedAt = performance.now();
  while (performance.now() - startedAt < durationMs) {
    sql.exec("BEGIN IMMEDIATE");
    for (let i = 0; i < batch; i++) insert.run("bench.messages", createId(), attributes, BODY);
    sql.exec("COMMIT");
    count += batch;
  }
  const rate = (count / (performance.now() - startedAt)) * 1000;
  sql.close();
  return rate;
}
