import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { describeThrown } from "../../../core/errors.ts";
import { FORMAT, SCHEMA } from "../sql/schema.ts";
import { StoreReader, type DamagedRecord } from "./store-reader.ts";

/** What a rebuilt database took over from the one it was made from, and what it could not. */
export interface Rebuilt {
  readonly kept: number;
  readonly lost: readonly DamagedRecord[];
  /** Tables of which rows could not be read, in a sentence each. */
  readonly incomplete: readonly string[];
}

const QUARANTINE = "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
/**
 * Makes the counters say what is there: rows may be missing, and a counter may be what was damaged. Messages whose channel
 * cannot be read any more get one called `recovered.…`.
 */
const RECONCILE = `
  INSERT OR IGNORE INTO store VALUES (1, ${FORMAT}, 0, 0, 0, '', 0);
  INSERT OR IGNORE INTO channels(id, name) SELECT DISTINCT channel_id, 'recovered.channel-' || channel_id FROM lanes
    WHERE channel_id NOT IN (SELECT id FROM channels);
  INSERT OR IGNORE INTO channels(name) SELECT DISTINCT 'recovered.lane-' || lane_id FROM messages
    WHERE lane_id NOT IN (SELECT id FROM lanes);
  INSERT OR IGNORE INTO lanes(id, channel_id, priority) SELECT DISTINCT m.lane_id, c.id, 50 FROM messages m
    JOIN channels c ON c.name = 'recovered.lane-' || m.lane_id WHERE m.lane_id NOT IN (SELECT id FROM lanes);
  UPDATE lanes SET last_seq = max(last_seq, coalesce((SELECT max(seq) FROM messages m WHERE m.lane_id = lanes.id), 0)),
    held = (SELECT count(*) FROM messages m WHERE m.lane_id = lanes.id AND m.seq > lanes.purged_seq);
  UPDATE lanes SET first_seq = (SELECT min(seq) FROM messages m WHERE m.lane_id = lanes.id) WHERE first_seq = 0
    AND EXISTS (SELECT 1 FROM messages m WHERE m.lane_id = lanes.id);
  UPDATE lanes SET appended = max(appended, held);
  UPDATE cursors SET passed = (SELECT l.appended - (SELECT count(*) FROM messages m WHERE m.lane_id = l.id
    AND m.seq > max(cursors.seq, l.purged_seq)) FROM lanes l WHERE l.id = cursors.lane_id)
    WHERE lane_id IN (SELECT id FROM lanes);
  UPDATE store SET seq = max(seq, coalesce((SELECT max(seq) FROM messages), 0), coalesce((SELECT max(last_seq) FROM lanes), 0)),
    structure = structure + 1;`;

/** Writes a new database to `to`, from all of `from` that can be read and is what was written. `to` is whole when this returns. */
export function rebuild(from: string, to: string): Rebuilt {
  const reader = new StoreReader(from);
  closeSync(openSync(to, "wx", 0o600));
  const target = new DatabaseSync(to, { enableForeignKeyConstraints: false });
  try {
    target.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL");
    target.exec(SCHEMA);
    target.exec("BEGIN IMMEDIATE");
    const incomplete = tablesOf(target)
      .filter((table) => table !== "messages")
      .flatMap((table) => copyTable(reader.sql, target, table));
    const messages = copyMessages(reader, target);
    target.exec(RECONCILE);
    target.exec("COMMIT");
    return { ...messages, incomplete };
  } finally {
    target.close();
    reader.close();
  }
}

function tablesOf(sql: DatabaseSync): string[] {
  const query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
  return sql
    .prepare(query)
    .all()
    .map((row) => String(row["name"]));
}

/** Copies from both ends: what lies behind a broken page is found from the other side. A sentence where rows are missing. */
function copyTable(from: DatabaseSync, to: DatabaseSync, table: string): string[] {
  const columns = to.prepare(`PRAGMA table_info("${table}")`).all();
  const names = columns.map(({ name }) => `"${String(name)}"`);
  const key = columns.filter(({ pk }) => Number(pk) > 0).map(({ name }) => `"${String(name)}"`);
  const insert = to.prepare(`INSERT OR IGNORE INTO "${table}" VALUES (${names.map(() => "?").join(", ")})`);
  const ends = ["ASC", "DESC"].map((direction) => {
    try {
      const order = key.map((column) => `${column} ${direction}`).join(", ");
      const rows = from.prepare(`SELECT ${names.join(", ")} FROM "${table}" ORDER BY ${order}`);
      rows.setReturnArrays(true);
      for (const row of rows.iterate()) insert.run(...(row as unknown as SQLInputValue[]));
      return undefined;
    } catch (error) {
      return describeThrown(error);
    }
  });
  return ends[0] === undefined ? [] : [`rows of the table ${table} could not be read: ${ends[0]}`];
}

function copyMessages(reader: StoreReader, to: DatabaseSync): Pick<Rebuilt, "kept" | "lost"> {
  const lost: DamagedRecord[] = [];
  const insert = to.prepare("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const quarantine = to.prepare(QUARANTINE);
  let kept = 0;
  for (const row of reader.messages((record) => lost.push(record))) {
    const reason = reader.problemOf(row);
    const values = [row.attributes, row.headers, row.body, row.crc] as const;
    if (reason === undefined) {
      insert.run(row.seq, row.lane_id, row.stored_at, row.deliver_at, row.partition_key, ...values);
      kept += 1;
    } else {
      const { channel, priority } = reader.lanes.get(row.lane_id) ?? { channel: null, priority: 50 };
      quarantine.run(row.seq, channel ?? "", priority, Date.now(), reason, ...values);
      lost.push({ position: String(row.seq), channel, reason });
    }
  }
  return { kept, lost };
}
