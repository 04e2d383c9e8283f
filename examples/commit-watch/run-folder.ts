import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "./history/text.ts";
import { KEPT_MS } from "./kept-log.ts";
import { UsageError } from "./options.ts";

/** What a run reads. A start that wants something else is another run. */
export interface RunSubject {
  /** An absolute path. */
  readonly repository: string;
  /** Null: the whole history. */
  readonly limit: number | null;
  /** The commit that HEAD was when the run began: a run that goes on reads the same history. Null: the sample is read. */
  readonly head: string | null;
}

/** What `run.json` holds. */
interface RunRecord extends RunSubject {
  readonly version: 1;
  /** Of the fingerprints, hexadecimal. */
  readonly key: string;
  /** ISO 8601 UTC. */
  readonly begunAt: string;
  readonly starts: number;
  readonly finished: boolean;
}

const RECORD = "run.json";
const LOCK = "lock";
const BROKER = "broker";
const OLD = "thrown-away";

/**
 * The folder of a run: `run.json` says what it is about and whether it ended, `broker` holds its messages, `lock` is held
 * by the one process that works on it, as long as it lives.
 */
export class RunFolder {
  readonly folder: string;
  /** True when a run goes on that an earlier start did not bring to its end. */
  readonly resumed: boolean;
  /** True when a run that had not ended was thrown away: it was about something else, too old, or not wanted. */
  readonly replaces: boolean;
  readonly #lock: DatabaseSync;
  #record: RunRecord;

  private constructor(
    folder: string,
    lock: DatabaseSync,
    begin: { readonly record: RunRecord; readonly resumed: boolean; readonly replaces: boolean },
  ) {
    this.folder = folder;
    this.resumed = begin.resumed;
    this.replaces = begin.replaces;
    this.#lock = lock;
    this.#record = begin.record;
  }

  /**
   * Takes up the run of the folder if it is about the same and did not end; else, or when `fresh` is wanted, throws away
   * what is there and begins a new one. Throws UsageError: in use by another process, or no folder for a run.
   */
  static open(folder: string, subject: RunSubject, fresh: boolean): RunFolder {
    makeFolder(folder);
    const lock = lockFolder(folder);
    try {
      const known = readRecord(folder);
      const resumed = !fresh && known !== undefined && goesOn(known, subject);
      if (!resumed) throwAway(folder);
      const record = resumed ? { ...known, starts: known.starts + 1 } : newRecord(subject);
      writeRecord(folder, record);
      rmSync(path.join(folder, OLD), { recursive: true, force: true });
      return new RunFolder(folder, lock, {
        record,
        resumed,
        replaces: !resumed && known?.finished === false,
      });
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** Where the broker keeps the messages of the run. */
  get brokerFolder(): string {
    return path.join(this.folder, BROKER);
  }

  get subject(): RunSubject {
    return this.#record;
  }

  /** How often the run was started, this time included. */
  get starts(): number {
    return this.#record.starts;
  }

  get begunAt(): string {
    return this.#record.begunAt;
  }

  /** The key of the run's fingerprints. */
  get key(): Uint8Array {
    return Buffer.from(this.#record.key, "hex");
  }

  /** The run came to its end: the next start begins a new one. */
  finish(): void {
    this.#record = { ...this.#record, finished: true };
    writeRecord(this.folder, this.#record);
  }

  /** Lets the next process in. */
  close(): void {
    this.#lock.close();
  }
}

/** A run older than this has begun to forget. */
function goesOn(known: RunRecord, { repository, limit, head }: RunSubject): boolean {
  return (
    !known.finished &&
    known.repository === repository &&
    known.limit === limit &&
    (known.head === null) === (head === null) &&
    Date.now() - Date.parse(known.begunAt) < KEPT_MS
  );
}

function newRecord(subject: RunSubject): RunRecord {
  const key = randomBytes(32).toString("hex");
  return { version: 1, ...subject, key, begunAt: new Date().toISOString(), starts: 1, finished: false };
}

/** Only an empty folder, or one that held a run before: whatever else lies there is somebody's. */
function makeFolder(folder: string): void {
  let found: readonly string[];
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    found = readdirSync(folder);
  } catch (error) {
    throw noRunFolder(folder, messageOf(error));
  }
  if (found.length > 0 && !found.includes(LOCK)) throw noRunFolder(folder, "it holds other things");
}

/** A lock of the operating system on a database: it ends with the process, however that ends. */
function lockFolder(folder: string): DatabaseSync {
  const file = path.join(folder, LOCK);
  const lock = openLock(folder, file);
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw noRunFolder(folder, messageOf(error));
    const text = `Another start works on the run in '${folder}': wait for its end, or give this one a folder of its own with --data.`;
    throw new UsageError(text, 75);
  }
}

const SQLITE_BUSY = 5;

function openLock(folder: string, file: string): DatabaseSync {
  try {
    const lock = new DatabaseSync(file);
    chmodSync(file, 0o600);
    return lock;
  } catch (error) {
    throw noRunFolder(folder, messageOf(error));
  }
}

function readRecord(folder: string): RunRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(path.join(folder, RECORD), "utf8")) as Partial<RunRecord>;
    return record.version === 1 ? (record as RunRecord) : undefined;
  } catch {
    // Without a record there is nothing that could be taken up.
    return undefined;
  }
}

/** In one step: a start that is killed leaves the old record or the new one. */
function writeRecord(folder: string, record: RunRecord): void {
  const file = path.join(folder, RECORD);
  writeFileSync(`${file}.new`, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** In one step as well: a database that is half deleted could not be opened. */
function throwAway(folder: string): void {
  const old = path.join(folder, OLD);
  rmSync(old, { recursive: true, force: true });
  rmSync(path.join(folder, RECORD), { force: true });
  if (existsSync(path.join(folder, BROKER))) renameSync(path.join(folder, BROKER), old);
}

function noRunFolder(folder: string, why: string): UsageError {
  return new UsageError(
    `'${folder}' cannot be the folder of a run: ${why}. Give another one with --data.`,
    73,
  );
}
