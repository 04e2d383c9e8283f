import { lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { describeThrown } from "../../../core/errors.ts";
import { DATABASE_NAME } from "./names.ts";
import { copyOutside } from "./outside.ts";

const NAME = /^herald\.db\.damaged-(\d+)$/;
/** Parts of a database: the log holds what is not in the database yet. */
export const PARTS = ["", "-wal"] as const;

/** What was kept of a damaged database: the copy's path, or why there is none. */
export type KeptCopy = { readonly copy: string } | { readonly copy: null; readonly reason: string };

/**
 * Copies the database and its log to `herald.db.damaged-<n>` beside it, before anything can change them. What was copied
 * before and has not changed since is not copied again, so that a process that is started over and over fills no disk.
 */
export function keepDamaged(directory: string): KeptCopy {
  const source = path.join(directory, DATABASE_NAME);
  const taken = numbersIn(directory);
  const last = path.join(directory, `${DATABASE_NAME}.damaged-${taken.at(-1) ?? 0}`);
  if (PARTS.every((part) => isCopy(source + part, last + part))) return { copy: last };
  const copy = damagedName(directory);
  try {
    for (const part of PARTS) if (exists(source + part)) copyOutside(source + part, copy + part);
    return { copy };
  } catch (error) {
    for (const part of PARTS) rmSync(copy + part, { force: true });
    return { copy: null, reason: describeThrown(error) };
  }
}

/** The next free name for a damaged database. */
export function damagedName(directory: string): string {
  return path.join(directory, `${DATABASE_NAME}.damaged-${(numbersIn(directory).at(-1) ?? 0) + 1}`);
}

function numbersIn(directory: string): number[] {
  return readdirSync(directory)
    .map((name) => Number(NAME.exec(name)?.[1] ?? 0))
    .filter((number) => number > 0)
    .toSorted((a, b) => a - b);
}

function isCopy(source: string, copy: string): boolean {
  const one = statSync(source, { throwIfNoEntry: false });
  const other = statSync(copy, { throwIfNoEntry: false });
  if (one === undefined || other === undefined) return one === other;
  return one.size === other.size && Math.trunc(one.mtimeMs) === Math.trunc(other.mtimeMs);
}

function exists(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}
