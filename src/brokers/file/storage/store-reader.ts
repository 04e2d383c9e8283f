import { DatabaseSync } from "node:sqlite";
import { describeThrown } from "../../../core/errors.ts";
import { MISCOUNTED } from "./check-structure.ts";
import { isIntact } from "../sql/quarantine.ts";
import type { MessageRow } from "../sql/deliveries.ts";

/*
 * Reading a store of which parts may be broken. Every query on its tables that is not the broker's own stands here.
 */
const SQL = {
  messages: "SELECT * FROM messages WHERE seq >= ? ORDER BY seq",
  next: "SELECT seq FROM messages WHERE seq >= ? ORDER BY seq LIMIT 1",
  known:
    "SELECT seq, lane_id FROM messages INDEXED BY messages_lane WHERE lane_id = ? AND seq >= ? AND seq <= ?",
  last: "SELECT max(seq) AS seq FROM (SELECT seq FROM store UNION ALL SELECT max(last_seq) FROM lanes)",
  lanes: "SELECT l.id, l.priority, c.name FROM lanes l LEFT JOIN channels c ON c.id = l.channel_id",
  quarantined: "SELECT count(*) AS n FROM quarantine",
};

/** Sentences about rows that contradict each other, each query giving them under the name `problem`. */
const CONTRADICTIONS = [
  `SELECT 'the store''s counter is at ' || s.seq || ', behind position ' || m.seq AS problem
    FROM store s, (SELECT max(seq) AS seq FROM messages) m WHERE m.seq > s.seq`,
  `SELECT 'the message at position ' || m.seq || ' belongs to no channel' AS problem
    FROM messages m WHERE NOT EXISTS (SELECT 1 FROM lanes l JOIN channels c ON c.id = l.channel_id WHERE l.id = m.lane_id)
    LIMIT 20`,
  MISCOUNTED,
];

/** A message as it is stored, whole. */
export interface StoredRow extends MessageRow {
  readonly lane_id: number;
}

/** Where a message belongs. */
export interface LaneName {
  readonly channel: string | null;
  readonly priority: number;
}

/** A message that cannot be trusted, or not even be read. */
export interface DamagedRecord {
  /** One position, or `first..last` where it is not known which of them were taken. */
  readonly position: string;
  /** Null where that cannot be read either. */
  readonly channel: string | null;
  readonly reason: string;
}

/** A database of messages, opened to be read only. */
export class StoreReader {
  readonly sql: DatabaseSync;
  #lanes: ReadonlyMap<number, LaneName> | undefined;

  constructor(file: string) {
    this.sql = new DatabaseSync(file, { readOnly: true, timeout: 5000, enableForeignKeyConstraints: false });
  }

  close(): void {
    this.sql.close();
  }

  /** What SQLite finds wrong with the pages, and what rows say against each other. Empty: nothing. */
  problems(): string[] {
    return [
      ...this.#ask("PRAGMA integrity_check(100)", "integrity_check"),
      ...CONTRADICTIONS.flatMap((query) => this.#ask(query, "problem")),
    ];
  }

  /** How many messages were put aside before. */
  quarantined(): number {
    return tried(() => Number(this.sql.prepare(SQL.quarantined).get()?.["n"] ?? 0)) ?? 0;
  }

  /** Channel and priority of each lane; empty where they cannot be read. */
  get lanes(): ReadonlyMap<number, LaneName> {
    this.#lanes ??= new Map(
      (tried(() => this.sql.prepare(SQL.lanes).all()) ?? []).map((row) => [
        Number(row["id"]),
        { channel: row["name"] as string | null, priority: Number(row["priority"]) },
      ]),
    );
    return this.#lanes;
  }

  /** Every message that can be read, in order of position; `lost` is told of those that cannot. */
  *messages(lost: (record: DamagedRecord) => void): Generator<StoredRow> {
    const last = this.#last();
    let next = 0;
    while (next <= last) {
      try {
        for (const row of this.sql.prepare(SQL.messages).iterate(next)) {
          const message = row as unknown as StoredRow;
          next = message.seq + 1;
          yield message;
        }
        return;
      } catch (error) {
        const resumed = this.#resume(next, last);
        for (const record of this.#between(next, resumed - 1, describeThrown(error))) lost(record);
        next = resumed;
      }
    }
  }

  /** What is wrong with a message that could be read; undefined: nothing. */
  problemOf(row: StoredRow): string | undefined {
    if (row.crc !== null && !(row.body instanceof Uint8Array))
      return "its body is of another type than was written";
    if (!tried(() => isIntact(row, row.lane_id))) return "its checksum differs";
    return undefined;
  }

  #last(): number {
    return Number(tried(() => this.sql.prepare(SQL.last).get()?.["seq"]) ?? 2 ** 40);
  }

  /** The first position from which on a message can be read again. */
  #resume(broken: number, last: number): number {
    const reads = (from: number): boolean =>
      tried(() => this.sql.prepare(SQL.next).get(from) ?? {}) !== undefined;
    let step = 1;
    while (broken + step <= last && !reads(broken + step)) step *= 2;
    let [bad, good] = [broken + Math.floor(step / 2), Math.min(broken + step, last + 1)];
    while (good - bad > 1) {
      const middle = Math.floor((bad + good) / 2);
      if (reads(middle)) good = middle;
      else bad = middle;
    }
    return good;
  }

  /** Which positions of a range were taken, as the index says that stands beside the table. */
  #between(first: number, through: number, reason: string): DamagedRecord[] {
    const known = tried(() => {
      const statement = this.sql.prepare(SQL.known);
      return [...this.lanes].flatMap(([id, { channel }]) =>
        statement.all(id, first, through).map((row) => ({ position: String(row["seq"]), channel, reason })),
      );
    });
    const range = first === through ? String(first) : `${first}..${through}`;
    return known ?? [{ position: range, channel: null, reason }];
  }

  #ask(query: string, column: string): string[] {
    try {
      const found = this.sql
        .prepare(query)
        .all()
        .map((row) => String(row[column]));
      return found.length === 1 && found[0] === "ok" ? [] : found;
    } catch (error) {
      return [describeThrown(error)];
    }
  }
}

function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
