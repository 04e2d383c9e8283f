import { HeraldError, showValue } from "../core/errors.ts";
import type { RepairReport } from "../brokers/file/storage/repair-storage.ts";
import type { StorageReport } from "../brokers/file/storage/verify-storage.ts";

export type { DamagedRecord } from "../brokers/file/storage/store-reader.ts";
export type { RepairReport, StorageReport };

const FILE = /^file:(?:\/\/)?(.+)$/i;

/** The directory that a `file:` URL names; undefined for a URL of another broker. Throws `INVALID_ARGUMENT` where none is named. */
export function storageOf(url: string): string | undefined {
  if (!/^file:/i.test(url)) return undefined;
  const directory = FILE.exec(url)?.[1];
  if (directory !== undefined) return directory;
  const message = `${showValue(url)} names no directory. Write file:<directory>.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "url" } });
}

/** Reads the whole storage of a file broker and changes nothing: see `verifyStorage`. Rejects with `NOT_FOUND`. Holds the event loop. */
export async function verifyStorage(directory: string): Promise<StorageReport> {
  return (await import("../brokers/file/storage/verify-storage.ts")).verifyStorage(directory);
}

/** Rebuilds the storage of a file broker that nobody uses: see `repairStorage`. Holds the event loop. */
export async function repairStorage(directory: string): Promise<RepairReport> {
  return (await import("../brokers/file/storage/repair-storage.ts")).repairStorage(directory);
}
