import { closeSync, constants, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { HeraldError, describeThrown } from "../../../core/errors.ts";
import { checkStorage } from "./check-storage.ts";
import { damagedName, PARTS } from "./damaged-copy.ts";
import { inspectWal, type WalReport } from "./inspect-wal.ts";
import { DATABASE_NAME, REBUILT_NAME } from "./names.ts";
import { copyOutside } from "./outside.ts";
import { rebuild, type Rebuilt } from "./rebuild.ts";
import {
  requireStorage,
  verifyRecords,
  verifyStorage,
  type RecordsReport,
  type StorageReport,
} from "./verify-storage.ts";
import { putTogether, turnBitsBack } from "./wal-mend.ts";

const WORK_NAMES = ["source", "bits", "all", "sound", "alone"].map(
  (name) => `${DATABASE_NAME}.repair-${name}`,
);
const REBUILDING_NAME = `${DATABASE_NAME}.rebuilding`;

/** What a repair did. */
export interface RepairReport extends Rebuilt {
  readonly directory: string;
  /** False: nothing was wrong, and nothing was touched. */
  readonly repaired: boolean;
  /** Frames of the log that were committed and are not there any more: what they held is not known. */
  readonly lostFrames: number;
  /** Where the damaged database is kept; null when nothing was touched. */
  readonly copy: string | null;
  /** The storage as it stands now. */
  readonly after: StorageReport;
}

/** One way to read what is damaged. */
interface Source {
  readonly file: string;
  readonly lostFrames: number;
}

/**
 * Puts a new database in the place of a damaged one, made of every message that is what was written. The damaged one is
 * kept beside it as `herald.db.damaged-<n>`; damaged messages that can still be read are in the table `quarantine`. Cut off
 * at any point it can be called again. Blocks.
 *
 * Throws `CONFLICT` while a process has the storage open, `NOT_FOUND`, and what `checkStorage` throws.
 */
export function repairStorage(directory: string): RepairReport {
  const place = path.resolve(directory);
  if (!existsSync(path.join(place, REBUILT_NAME))) requireStorage(place);
  checkStorage(place);
  refuseInUse(place);
  if (existsSync(path.join(place, REBUILT_NAME))) return finish(place);
  const before = verifyStorage(place);
  if (before.ok) return untouched(before);
  try {
    const source = bestSource(place, before.wal);
    const made = path.join(place, REBUILDING_NAME);
    const rebuilt = rebuild(source.file, made);
    sync(made);
    renameSync(made, path.join(place, REBUILT_NAME));
    const copy = exchange(place, before.copy);
    return {
      directory: place,
      repaired: true,
      ...rebuilt,
      lostFrames: source.lostFrames,
      copy,
      after: verifyStorage(place),
    };
  } finally {
    tidy(place);
  }
}

/** The repair was cut off when the new database was whole: what it left out is in the table `quarantine` and in the copy. */
function finish(place: string): RepairReport {
  const copy = exchange(place, null);
  const after = verifyStorage(place);
  return {
    directory: place,
    repaired: true,
    kept: after.records,
    lost: [],
    incomplete: [],
    lostFrames: 0,
    copy,
    after,
  };
}

function untouched(before: StorageReport): RepairReport {
  const { directory, records } = before;
  return {
    directory,
    repaired: false,
    kept: records,
    lost: [],
    incomplete: [],
    lostFrames: 0,
    copy: null,
    after: before,
  };
}

function refuseInUse(place: string): void {
  const { users } = inspectWal(place);
  if (users === undefined || users.length === 0) return;
  const message = `The storage '${place}' is in use by process ${users.join(", ")}. Stop what uses it, then repair it.`;
  throw new HeraldError("CONFLICT", message, { details: { path: place, pids: users }, retryable: false });
}

/** Of the ways to read what is there the one whose pages are sound, and then the one that gives the most messages. */
function bestSource(place: string, wal: WalReport): Source {
  const sources = sourcesOf(place, wal);
  if (sources.length === 1) return sources[0] as Source;
  const judged = sources.map((source) => ({ source, found: verifyRecords(source.file) }));
  judged.sort((one, other) => rank(other.found) - rank(one.found));
  return (judged[0] as { source: Source }).source;
}

function rank({ structure, records }: RecordsReport): number {
  return records + (structure.length === 0 ? 2 ** 50 : 0);
}

function sourcesOf(place: string, { scan }: WalReport): Source[] {
  const database = path.join(place, DATABASE_NAME);
  const name = (which: number): string => path.join(place, WORK_NAMES[which] as string);
  const lostFrames = scan?.damage?.committedBeyond ?? 0;
  for (const work of WORK_NAMES.map((work) => path.join(place, work))) {
    remove(work);
    linkOrCopy(database, work);
  }
  const log = `${database}-wal`;
  if (existsSync(log)) linkOrCopy(log, `${name(0)}-wal`);
  if (scan?.damage === undefined) return [{ file: name(0), lostFrames: 0 }];
  if (turnBitsBack(log, `${name(1)}-wal`)) return [{ file: name(1), lostFrames: 0 }];
  putTogether(log, `${name(2)}-wal`, "all");
  putTogether(log, `${name(3)}-wal`, "sound");
  return [name(2), name(3), name(0), name(4)].map((file) => ({ file, lostFrames }));
}

/** The new database takes the place of the old one, whose files are kept under another name first. */
function exchange(place: string, kept: string | null): string {
  const database = path.join(place, DATABASE_NAME);
  const copy = kept ?? damagedName(place);
  for (const part of PARTS)
    if (existsSync(database + part) && !existsSync(copy + part)) linkOrCopy(database + part, copy + part);
  syncDirectory(place);
  // While the new database waits, nobody opens the old one: without its log it says less than it did.
  for (const part of ["-wal", "-shm"]) rmSync(database + part, { force: true });
  renameSync(path.join(place, REBUILT_NAME), database);
  syncDirectory(place);
  return copy;
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyOutside(from, to);
  }
}

function tidy(place: string): void {
  for (const name of [...WORK_NAMES, REBUILDING_NAME]) remove(path.join(place, name));
}

function remove(file: string): void {
  for (const part of ["", "-wal", "-shm", "-journal"]) rmSync(file + part, { force: true });
}

function sync(file: string): void {
  const handle = openSync(file, constants.O_RDWR);
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function syncDirectory(place: string): void {
  try {
    const handle = openSync(place, constants.O_RDONLY);
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    // Windows knows no sync of a directory.
    if (process.platform !== "win32")
      throw new HeraldError("INTERNAL", describeThrown(error), { cause: error });
  }
}
