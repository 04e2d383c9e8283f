import { DatabaseSync } from "node:sqlite";
import { Pool } from "pg";
import type { SqlDatabase, SqlStatement } from "../../src/patterns/outbox/sql.ts";

/** Where a program's database is: a file of SQLite, or the address of a PostgreSQL. */
export type DatabasePlace = { readonly file: string } | { readonly url: string };

/** A program's own database, as its code uses it. */
export interface OwnDatabase extends SqlDatabase {
  /** Runs statements in one transaction, which is rolled back when `isKept` is false. */
  transaction(statements: readonly SqlStatement[], isKept?: boolean): Promise<void>;
  close(): Promise<void>;
}

/** The database of a place, in a connection of its own. */
export function databaseAt(place: DatabasePlace): OwnDatabase {
  return "file" in place ? sqlite(place.file) : postgres(place.url);
}

function sqlite(file: string): OwnDatabase {
  const db = new DatabaseSync(file, { timeout: 10_000 });
  db.exec("PRAGMA journal_mode = WAL");
  return {
    dialect: "sqlite",
    query: (sql, parameters) => db.prepare(sql).all(...parameters) as Record<string, unknown>[],
    async transaction(statements, isKept = true) {
      db.exec("BEGIN IMMEDIATE");
      for (const { sql, parameters } of statements) db.prepare(sql).run(...parameters);
      db.exec(isKept ? "COMMIT" : "ROLLBACK");
    },
    close: async () => db.close(),
  };
}

function postgres(url: string): OwnDatabase {
  const pool = new Pool({ connectionString: url, max: 4 });
  pool.on("error", () => undefined);
  return {
    dialect: "postgres",
    query: async (sql, parameters) =>
      (await pool.query(sql, [...parameters])).rows as Record<string, unknown>[],
    async transaction(statements, isKept = true) {
      const client = await pool.connect();
      await client.query("BEGIN");
      for (const { sql, parameters } of statements) await client.query(sql, [...parameters]);
      await client.query(isKept ? "COMMIT" : "ROLLBACK");
      client.release();
    },
    close: () => pool.end(),
  };
}
