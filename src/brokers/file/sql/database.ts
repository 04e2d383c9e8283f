import { statSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { HeraldError } from "../../../core/errors.ts";
import { checkLength } from "../storage/check-length.ts";
import { checkStructure } from "../storage/check-structure.ts";
import { DATABASE_NAME } from "../storage/names.ts";
import { prepareStorage } from "../storage/prepare-storage.ts";
import { isBusy, storageError, storageGone } from "./errors.ts";
import { FORMAT, SCHEMA, STREAMS_SCHEMA } from "./schema.ts";

/** Prepared statements by the names of their texts. */
export type Statements<T> = { readonly [K in keyof T]: StatementSync };

const BUSY_MS = 10_000;
/** Pages of the write-ahead log after which a commit copies it into the database by itself, if nobody else has: 64 MiB. */
const CHECKPOINT_PAGES = 16_384;
const PRAGMAS = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
  PRAGMA journal_size_limit = 67108864; PRAGMA busy_timeout = 0; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;
  PRAGMA trusted_schema = OFF;`;

/**
 * Refuses a SQLite that can corrupt a WAL database when two processes write and checkpoint at once: 3.7.0 to 3.51.2
 * without the backports 3.44.6 and 3.50.7. Throws `UNSUPPORTED`.
 */
export function checkSqliteVersion(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const isAtLeast = (m: number, p: number) => minor > m || (minor === m && patch >= p);
  const isBackport = (minor === 44 && patch >= 6) || (minor === 50 && patch >= 7);
  if (major > 3 || (major === 3 && (isAtLeast(51, 3) || isBackport))) return;
  throw new HeraldError(
    "UNSUPPORTED",
    `SQLite ${version} can corrupt a database that several processes write; the file broker needs 3.51.3 or later (or 3.50.7, 3.44.6). Use Node 24.15 or later.`,
    { details: { version } },
  );
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** One connection to the database of a store. Blocks: it belongs in a thread of its own. */
export class Database {
  readonly directory: string;
  readonly sql: DatabaseSync;
  /** Bytes of an unfinished transaction that were dropped when the store was opened. */
  readonly tailRepaired: number;
  /** A sentence for each group whose counters did not agree with the messages when the store was opened. */
  readonly miscounts: readonly string[];
  readonly #file: string;
  readonly #inode: number;
  #isSynced = true;
  #isBehind = false;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #version: StatementSync;
  readonly #checkpoint: StatementSync;

  /** Opens the store, and makes it when it is new. Throws a HeraldError, or what SQLite throws. */
  constructor(directory: string) {
    this.directory = directory;
    this.#file = path.join(directory, DATABASE_NAME);
    const storage = prepareStorage(directory);
    this.tailRepaired = storage.tailRepaired;
    this.sql = new DatabaseSync(this.#file, { enableForeignKeyConstraints: false, timeout: BUSY_MS });
    try {
      const { version } = this.sql.prepare("SELECT sqlite_version() AS version").get() as { version: string };
      checkSqliteVersion(version);
      checkLength(this.sql, this.#file, storage);
      this.#prepareTables();
      this.miscounts = storage.isFirst ? checkStructure(this.sql, directory) : [];
    } catch (error) {
      this.sql.close();
      throw error;
    }
    this.#inode = statSync(this.#file).ino;
    this.#begin = this.sql.prepare("BEGIN IMMEDIATE");
    this.#commit = this.sql.prepare("COMMIT");
    this.#version = this.sql.prepare("PRAGMA data_version");
    this.#checkpoint = this.sql.prepare("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** The database's own file. */
  get file(): string {
    return this.#file;
  }

  /** The log was copied into the database: what was written since follows, and the next commit begins a new log. Never throws. */
  checkpoint(): void {
    try {
      this.#checkpoint.get();
    } catch {
      // A later commit copies it; what is committed is in the log.
    }
  }

  prepareAll<T extends Readonly<Record<string, string>>>(texts: T): Statements<T> {
    const prepared = Object.entries(texts).map(([name, text]) => [name, this.sql.prepare(text)]);
    return Object.fromEntries(prepared) as Statements<T>;
  }

  /** A number that changes whenever another connection has changed the database. */
  dataVersion(): number {
    return (this.#version.get() as { data_version: number }).data_version;
  }

  /**
   * Takes the write lock, waiting for it in short steps: SQLite's own steps grow to 100 ms. `isSynced`: the commit waits
   * for the disk; without, it survives the process at once, and a loss of power only with the next one that waits.
   */
  begin(isSynced: boolean): void {
    if (isSynced !== this.#isSynced) this.sql.exec(`PRAGMA synchronous = ${isSynced ? "FULL" : "NORMAL"}`);
    this.#isSynced = isSynced;
    const endsAt = performance.now() + BUSY_MS;
    for (let tries = 0; ; tries++) {
      try {
        this.#begin.run();
        return;
      } catch (error) {
        if (!isBusy(error) || performance.now() > endsAt) throw error;
        Atomics.wait(sleeper, 0, 0, Math.min(2, 0.1 + tries * 0.05 * Math.random()));
      }
    }
  }

  commit(): void {
    this.#commit.run();
    // Also the commits before it: the log is synced as a whole.
    this.#isBehind = !this.#isSynced;
  }

  /** True while there are commits that a loss of power would undo. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  rollback(): void {
    if (this.sql.isTransaction) this.sql.exec("ROLLBACK");
  }

  /** Throws `STORAGE_GONE` when the file that is open is not the file of the folder any more. */
  checkThere(): void {
    const found = statSync(this.#file, { throwIfNoEntry: false });
    if (found === undefined || found.ino !== this.#inode) throw storageGone(this.directory);
  }

  close(): void {
    if (this.sql.isOpen) this.sql.close();
  }

  #prepareTables(): void {
    this.sql.exec("PRAGMA auto_vacuum = INCREMENTAL");
    this.sql.exec(PRAGMAS);
    this.sql.exec(`PRAGMA busy_timeout = ${BUSY_MS}; BEGIN IMMEDIATE`);
    try {
      const known = this.sql.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'store'").get();
      if (known === undefined) {
        this.sql.exec(SCHEMA);
        this.sql.exec(`INSERT INTO store VALUES (1, ${FORMAT}, 0, 0, 0, '', 0)`);
      }
      const { format } = this.sql.prepare("SELECT format FROM store").get() as { format: number };
      if (format !== FORMAT) throw otherFormat(this.directory, format);
      this.sql.exec(STREAMS_SCHEMA);
      this.sql.exec("COMMIT; PRAGMA busy_timeout = 0");
    } catch (error) {
      if (this.sql.isTransaction) this.sql.exec("ROLLBACK");
      throw error;
    }
  }
}

/** Opens the store of a folder. Throws a HeraldError. */
export function openDatabase(directory: string): Database {
  try {
    return new Database(directory);
  } catch (error) {
    throw storageError(error, directory);
  }
}

function otherFormat(directory: string, format: number): HeraldError {
  const message = `The store in '${directory}' has format ${format} and this version of Herald reads format ${FORMAT}: use the version that wrote it, or another folder.`;
  return new HeraldError("UNSUPPORTED", message, { details: { directory, format } });
}
