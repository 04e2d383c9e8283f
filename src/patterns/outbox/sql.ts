import { createId } from "../../core/ids.ts";
import { systemClock } from "../../core/clock.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import type { KeptValue } from "../../core/store.ts";

/** One statement, and what stands in its places. */
export interface SqlStatement {
  readonly sql: string;
  readonly parameters: readonly (string | number | null)[];
}

/** The program's own database, through whatever client it has. */
export interface SqlDatabase {
  /** How it writes places and numbers its rows. SQLite needs 3.35. */
  readonly dialect: "sqlite" | "postgres";
  /** Runs one statement by itself, committed when it resolves; gives its rows, by the names of their columns. */
  query(sql: string, parameters: readonly (string | number | null)[]): Rows | Promise<Rows>;
}

type Rows = readonly Readonly<Record<string, unknown>>[];

/** The tables of one outbox, as one database speaks of them. */
export class OutboxTables {
  readonly #dialect: SqlDatabase["dialect"];
  readonly #table: string;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(dialect: SqlDatabase["dialect"], table: string) {
    if (dialect !== "sqlite" && dialect !== "postgres") throw wrong("dialect", "sqlite or postgres", dialect);
    if (typeof table !== "string" || !/^[A-Za-z_][A-Za-z0-9_]{0,49}$/.test(table))
      throw wrong("table", "1 to 50 letters, digits and _", table);
    this.#dialect = dialect;
    this.#table = table;
  }

  /** What makes the tables, one statement each. */
  get schema(): readonly string[] {
    const seq = this.#dialect === "sqlite" ? "INTEGER PRIMARY KEY AUTOINCREMENT" : "BIGSERIAL PRIMARY KEY";
    return [
      `CREATE TABLE IF NOT EXISTS ${this.#table}(seq ${seq}, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, payload TEXT NOT NULL, options TEXT NOT NULL, error TEXT)`,
      `CREATE TABLE IF NOT EXISTS ${this.#table}_relay(name TEXT PRIMARY KEY, token TEXT NOT NULL, value TEXT NOT NULL)`,
    ];
  }

  /** An id that is there already is the same message: a handler that runs again. */
  insert(id: string, channel: string, payload: string, options: string): SqlStatement {
    return this.#statement(
      `INSERT INTO ${this.#table}(id, channel, payload, options) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
      [id, channel, payload, options],
    );
  }

  /** The oldest that are to be published. */
  next(limit: number): SqlStatement {
    return this.#statement(
      `SELECT seq, id, channel, payload, options FROM ${this.#table} WHERE error IS NULL ORDER BY seq LIMIT ?`,
      [limit],
    );
  }

  remove(ids: readonly string[]): SqlStatement {
    const places = ids.map(() => "?").join(", ");
    return this.#statement(`DELETE FROM ${this.#table} WHERE id IN (${places})`, ids);
  }

  refuse(id: string, error: string): SqlStatement {
    return this.#statement(`UPDATE ${this.#table} SET error = ? WHERE id = ?`, [error, id]);
  }

  holder(name: string): SqlStatement {
    return this.#statement(`SELECT token, value FROM ${this.#table}_relay WHERE name = ?`, [name]);
  }

  take(name: string, token: string, value: string): SqlStatement {
    return this.#statement(
      `INSERT INTO ${this.#table}_relay(name, token, value) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING token`,
      [name, token, value],
    );
  }

  renew(name: string, token: string, value: string, ifToken: string): SqlStatement {
    return this.#statement(
      `UPDATE ${this.#table}_relay SET token = ?, value = ? WHERE name = ? AND token = ? RETURNING token`,
      [token, value, name, ifToken],
    );
  }

  free(name: string, token: string): SqlStatement {
    return this.#statement(`DELETE FROM ${this.#table}_relay WHERE name = ? AND token = ? RETURNING token`, [
      name,
      token,
    ]);
  }

  #statement(sql: string, parameters: SqlStatement["parameters"]): SqlStatement {
    if (this.#dialect === "sqlite") return { sql, parameters };
    let at = 0;
    return { sql: sql.replaceAll("?", () => `$${++at}`), parameters };
  }
}

/** Who relays, in the program's database: what a lease needs of a store. */
export class SqlHolders {
  readonly #tables: OutboxTables;
  readonly #run: (statement: SqlStatement) => Promise<Rows>;

  constructor(tables: OutboxTables, run: (statement: SqlStatement) => Promise<Rows>) {
    this.#tables = tables;
    this.#run = run;
  }

  async get(_space: string, key: string): Promise<KeptValue | undefined> {
    const [row] = await this.#run(this.#tables.holder(key));
    return row === undefined ? undefined : { token: String(row["token"]), value: String(row["value"]) };
  }

  async put(
    _space: string,
    key: string,
    value: string,
    ifToken?: string | null,
  ): Promise<string | undefined> {
    const token = createId(systemClock.now());
    const statement =
      ifToken == null ? this.#tables.take(key, token, value) : this.#tables.renew(key, token, value, ifToken);
    return (await this.#run(statement)).length === 0 ? undefined : token;
  }

  async delete(_space: string, key: string, ifToken = ""): Promise<boolean> {
    return (await this.#run(this.#tables.free(key, ifToken))).length > 0;
  }
}

/** The error for an option of an outbox: `INVALID_ARGUMENT`, naming the field. */
export function wrong(field: string, expected: string, value: unknown): HeraldError {
  const message = `${field} of an outbox must be ${expected}, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}
