import { statSync } from "node:fs";
import { uptime } from "node:os";
import path from "node:path";
import { DATABASE_NAME } from "./names.ts";
import { usersOf } from "./lock-holders.ts";
import { readOutside } from "./outside.ts";
import { parseWalIndex } from "./wal-index.ts";
import { scanWal, type WalScan } from "./wal-scan.ts";

/** How the log of a storage stands, and who has the storage open. */
export interface WalReport {
  /** `inUse`: a process has it open, and SQLite has vouched for the log when that process opened it. */
  readonly state: WalScan["state"] | "inUse";
  /** Ids of the processes that have it open; undefined where the system does not tell. */
  readonly users: readonly number[] | undefined;
  readonly scan: WalScan | undefined;
}

/** A log that is written to while it is read may look damaged once; damage stays where it is. */
const LOOKS = 3;

/**
 * Reads the log of the storage in `directory` without changing anything, before SQLite opens the database: SQLite drops what
 * follows a broken frame without a word.
 */
export function inspectWal(directory: string): WalReport {
  const database = path.join(directory, DATABASE_NAME);
  const users = usersOf(database);
  if (users !== undefined && users.length > 0) return { state: "inUse", users, scan: undefined };
  const log = `${database}-wal`;
  const afterCrash = isOlderThanBoot(log);
  // After a crash the index may be ahead of a log that was not synced.
  const options = {
    afterCrash,
    index: users === undefined || afterCrash ? undefined : readIndex(`${database}-shm`),
  };
  let scan = scanWal(log, options);
  for (let look = 1; look < LOOKS && scan.state === "damaged"; look += 1) {
    const before = scan.damage?.offset;
    scan = scanWal(log, options);
    if (scan.damage?.offset !== before) look = 0;
  }
  scan = withoutDatabase(scan, sizeOf(database));
  return { state: scan.state, users, scan };
}

function readIndex(file: string): ReturnType<typeof parseWalIndex> {
  if (sizeOf(file) === 0) return undefined;
  const bytes = readOutside(file);
  return bytes && parseWalIndex(bytes);
}

/** Whether the system was started after the last write: that write may have ended in a loss of power. */
function isOlderThanBoot(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found !== undefined && found.mtimeMs < Date.now() - uptime() * 1000;
}

/** SQLite deletes the log of an empty database. */
function withoutDatabase(scan: WalScan, databaseBytes: number): WalScan {
  if (databaseBytes > 0 || scan.committedFrames === 0 || scan.state === "damaged") return scan;
  const reason = "the database is empty or gone while its log is not";
  return {
    ...scan,
    state: "damaged",
    damage: { frame: 0, offset: 0, reason, committedBeyond: scan.committedFrames },
  };
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
