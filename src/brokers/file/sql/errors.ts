import { existsSync } from "node:fs";
import path from "node:path";
import { HeraldError, describeThrown, isHeraldError, type ErrorCode } from "../../../core/errors.ts";
import { writerOf } from "../storage/lock-holders.ts";
import { DATABASE_NAME } from "../storage/names.ts";
import { isSystemError, systemError } from "../storage/storage-errors.ts";

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_IOERR_SHMSIZE = 4874;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** SQLite's primary result code, or undefined for an error that is not SQLite's. */
export function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}

/** True when somebody else holds the write lock. */
export function isBusy(error: unknown): boolean {
  return sqliteCode(error) === SQLITE_BUSY;
}

const REASONS: Readonly<Record<number, readonly [code: ErrorCode, what: string, remedy: string]>> = {
  [SQLITE_FULL]: [
    "STORAGE_FULL",
    "has no room left",
    "free some; nothing that was acknowledged is lost, and it goes on without a restart",
  ],
  [SQLITE_CORRUPT]: [
    "STORAGE_CORRUPT",
    "holds a page that cannot be read",
    "stop its processes and run `herald doctor` on it",
  ],
  [SQLITE_NOTADB]: [
    "STORAGE_CORRUPT",
    "is not a database",
    "stop its processes and run `herald doctor` on it",
  ],
  [SQLITE_READONLY]: ["UNSAFE_STORAGE", "cannot be written", "check its owner and its permissions"],
  [SQLITE_CANTOPEN]: ["STORAGE_GONE", "cannot be opened", "check that the folder exists"],
};

/**
 * What an error of SQLite means for a caller. `isCommit`: it came while a transaction was being made durable, so that
 * nobody knows whether it is.
 */
export function storageError(error: unknown, directory: string, isCommit = false): HeraldError {
  if (isHeraldError(error)) return error;
  const code = meaningOf(error, directory);
  if (code === SQLITE_BUSY) return held(error, directory);
  if (code === undefined && isSystemError(error)) return systemError(error, directory);
  const details = { directory, errcode: (error as { errcode?: unknown } | null)?.errcode };
  if (isCommit && code === SQLITE_IOERR) {
    const message = `The store in '${directory}' failed while it was written (${describeThrown(error)}): it may hold the message; publish again with the same id and dedupe.`;
    return new HeraldError("PUBLISH_UNKNOWN", message, { details, cause: error });
  }
  const known = code === undefined ? undefined : REASONS[code];
  if (known === undefined) {
    const message = `The store in '${directory}' failed: ${describeThrown(error)}.`;
    return new HeraldError("INTERNAL", message, { details, cause: error });
  }
  const [name, what, remedy] = known;
  const message = `The store in '${directory}' ${what} (${describeThrown(error)}): ${remedy}.`;
  return new HeraldError(name, message, { details, cause: error });
}

/** SQLite's code, made right where it says less than is known. */
function meaningOf(error: unknown, directory: string): number | undefined {
  const code = sqliteCode(error);
  if ((error as { errcode?: unknown } | null)?.errcode === SQLITE_IOERR_SHMSIZE) return SQLITE_FULL;
  if (code === SQLITE_IOERR && !existsSync(path.join(directory, DATABASE_NAME))) return SQLITE_CANTOPEN;
  return code;
}

function held(error: unknown, directory: string): HeraldError {
  const pid = writerOf(path.join(directory, DATABASE_NAME));
  const who = pid === undefined ? "another process, which cannot be found" : `process ${pid}`;
  const message = `The store in '${directory}' is held by ${who} (${describeThrown(error)}): let it finish or end it, and try again.`;
  return new HeraldError("TIMEOUT", message, { details: { directory, pid }, cause: error });
}

/** The folder of an open store is not what it was. */
export function storageGone(directory: string): HeraldError {
  const message = `The store in '${directory}' was removed or replaced while it was open: what it held is not there any more. Close this broker and open a new one.`;
  return new HeraldError("STORAGE_GONE", message, { details: { directory } });
}
