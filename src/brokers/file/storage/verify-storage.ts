import { rmSync, statSync } from "node:fs";
import path from "node:path";
import { HeraldError, describeThrown } from "../../../core/errors.ts";
import { DATABASE_NAME } from "./names.ts";
import { keepDamaged } from "./damaged-copy.ts";
import { inspectWal, type WalReport } from "./inspect-wal.ts";
import { StoreReader, type DamagedRecord } from "./store-reader.ts";

/** What was found in a storage. */
export interface StorageReport {
  readonly directory: string;
  /** Nothing is damaged, in no part. */
  readonly ok: boolean;
  /** Messages whose bytes are what was written. */
  readonly records: number;
  readonly damaged: readonly DamagedRecord[];
  /** What SQLite finds wrong with its pages, and rows that contradict each other. */
  readonly structure: readonly string[];
  /** Messages that were put aside earlier, because they were damaged. */
  readonly quarantined: number;
  readonly wal: WalReport;
  /** Where a copy is kept of what is damaged; null when there is none. */
  readonly copy: string | null;
}

/** What the records and pages of one database say. */
export type RecordsReport = Pick<StorageReport, "records" | "damaged" | "structure" | "quarantined">;

/**
 * Reads a whole storage: log, pages, every message. Changes nothing, and may be called while brokers use it. Where the log is
 * damaged a copy is kept first and read in its place. Throws `NOT_FOUND` where there is no storage. Blocks.
 */
export function verifyStorage(directory: string): StorageReport {
  const place = path.resolve(directory);
  const file = path.join(place, DATABASE_NAME);
  requireStorage(place);
  const wal = inspectWal(place);
  if (wal.state !== "damaged") return report(place, wal, verifyRecords(file), null);
  const kept = keepDamaged(place);
  if (kept.copy === null) {
    const unread = `the messages were not read: no copy could be made (${kept.reason})`;
    return report(place, wal, { records: 0, damaged: [], structure: [unread], quarantined: 0 }, null);
  }
  try {
    return report(place, wal, verifyRecords(kept.copy), kept.copy);
  } finally {
    rmSync(`${kept.copy}-shm`, { force: true });
  }
}

/** Throws `NOT_FOUND` where no storage is to be looked at. */
export function requireStorage(place: string): void {
  const isThere = ["", "-wal"].some(
    (part) => statSync(path.join(place, DATABASE_NAME + part), { throwIfNoEntry: false }) !== undefined,
  );
  if (isThere) return;
  const message = `There is no storage in '${place}'. Name the directory that holds ${DATABASE_NAME}.`;
  throw new HeraldError("NOT_FOUND", message, { details: { path: place } });
}

/** Reads the pages and every message of one database. */
export function verifyRecords(file: string): RecordsReport {
  const damaged: DamagedRecord[] = [];
  let reader: StoreReader | undefined;
  let records = 0;
  try {
    reader = new StoreReader(file);
    for (const row of reader.messages((record) => damaged.push(record))) {
      const reason = reader.problemOf(row);
      if (reason === undefined) records += 1;
      else
        damaged.push({
          position: String(row.seq),
          channel: reader.lanes.get(row.lane_id)?.channel ?? null,
          reason,
        });
    }
    return { records, damaged, structure: reader.problems(), quarantined: reader.quarantined() };
  } catch (error) {
    return { records, damaged, structure: [describeThrown(error)], quarantined: 0 };
  } finally {
    reader?.close();
  }
}

function report(directory: string, wal: WalReport, found: RecordsReport, copy: string | null): StorageReport {
  const ok = found.damaged.length === 0 && found.structure.length === 0 && wal.state !== "damaged";
  return { directory, ok, ...found, wal, copy };
}
