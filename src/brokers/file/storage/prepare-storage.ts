import { existsSync } from "node:fs";
import path from "node:path";
import { HeraldError } from "../../../core/errors.ts";
import { checkStorage, type StorageIdentity } from "./check-storage.ts";
import { keepDamaged } from "./damaged-copy.ts";
import { inspectWal, type WalReport } from "./inspect-wal.ts";
import { REBUILT_NAME } from "./names.ts";
import type { WalDamage } from "./wal-scan.ts";

/** A storage that SQLite may open. */
export interface PreparedStorage {
  readonly identity: StorageIdentity;
  /** Bytes at the end of the log that a crash left unfinished: no publish of theirs was acknowledged, and SQLite drops them. */
  readonly tailRepaired: number;
  /** Nobody else uses the storage, as far as can be seen. */
  readonly isFirst: boolean;
  /** Nobody uses the storage, and everything is in the database itself. */
  readonly isLogEmpty: boolean;
}

/**
 * What comes before SQLite opens a storage: `checkStorage`, then a look at the log. Throws what `checkStorage` throws, and
 * `STORAGE_CORRUPT` where the log is damaged before its end: nothing is changed then, and a copy is kept as
 * `herald.db.damaged-<n>`.
 */
export function prepareStorage(directory: string): PreparedStorage {
  const identity = checkStorage(directory);
  if (existsSync(path.join(identity.directory, REBUILT_NAME))) throw halfRepaired(identity.directory);
  const report = inspectWal(identity.directory);
  if (report.scan?.damage !== undefined) throw damagedLog(identity.directory, report.scan.damage);
  const isFirst = report.state !== "inUse";
  const isLogEmpty = isFirst && report.scan?.committedFrames === 0;
  return { identity, tailRepaired: tailOf(report), isFirst, isLogEmpty };
}

function tailOf({ scan }: WalReport): number {
  return scan?.state === "torn" ? scan.tailBytes : 0;
}

function halfRepaired(directory: string): HeraldError {
  const message = `The repair of the storage '${directory}' was cut off before its end. Run: herald doctor --repair --url file:${directory}`;
  return new HeraldError("STORAGE_CORRUPT", message, { details: { path: directory } });
}

function damagedLog(directory: string, damage: WalDamage): HeraldError {
  const kept = keepDamaged(directory);
  const where = `frame ${damage.frame} at byte ${damage.offset} of herald.db-wal`;
  const beyond = `${damage.committedBeyond} committed frames are behind it`;
  const copy =
    kept.copy === null ? `No copy could be kept (${kept.reason})` : `A copy is kept as '${kept.copy}'`;
  const message = `The log of the storage '${directory}' is damaged in ${where}: ${damage.reason}, and ${beyond}. ${copy}, nothing was changed. Run: herald doctor --repair --url file:${directory}`;
  return new HeraldError("STORAGE_CORRUPT", message, {
    details: { path: directory, ...damage, copy: kept.copy },
  });
}
