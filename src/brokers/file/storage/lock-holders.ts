import { readFileSync, readdirSync, statSync, type BigIntStats } from "node:fs";
import { splitDevice } from "./file-systems.ts";

/** One process that holds a lock on a file. */
export interface LockHolder {
  readonly pid: number;
  readonly mode: "read" | "write";
  /** First and last byte of the lock. */
  readonly start: number;
  readonly end: number;
}

/** The byte of `herald.db-shm` that a process holds while it writes a transaction. */
const WRITE_LOCK_BYTE = 120;

const LINE =
  /^\d+: (?:POSIX|OFDLCK)\s+\S+\s+(READ|WRITE)\s+(-?\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s+(\d+)\s+(\d+|EOF)$/;

/**
 * Who holds locks on a file, from Linux's table of locks. Empty where nobody does or the file is not there; undefined
 * where the system has no such table. Processes of other containers are not in the table. It never opens the file: closing
 * it again would give up the locks that SQLite holds on it in this process.
 */
export function lockHolders(path: string): readonly LockHolder[] | undefined {
  const table = readTable();
  if (table === undefined) return undefined;
  const file = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (file === undefined) return [];
  return table.split("\n").flatMap((line) => holderOf(line, file) ?? []);
}

/** Ids of the processes that have the database of this directory open, this one included; undefined as {@link lockHolders}. */
export function usersOf(database: string): readonly number[] | undefined {
  const ofIndex = lockHolders(`${database}-shm`);
  const ofDatabase = lockHolders(database);
  if (ofIndex === undefined || ofDatabase === undefined) return undefined;
  return [...new Set([...ofIndex, ...ofDatabase].map(({ pid }) => pid))];
}

/** The process that keeps others from writing to the database; undefined where it cannot be found. */
export function writerOf(database: string): number | undefined {
  const writing = lockHolders(`${database}-shm`)?.find(
    ({ mode, start, end }) => mode === "write" && start <= WRITE_LOCK_BYTE && end >= WRITE_LOCK_BYTE,
  );
  return (writing ?? lockHolders(database)?.find(({ mode }) => mode === "write"))?.pid;
}

function readTable(): string | undefined {
  try {
    return readFileSync("/proc/locks", "utf8");
  } catch {
    return undefined;
  }
}

function holderOf(line: string, file: BigIntStats): LockHolder | undefined {
  const [, mode, pid, major, minor, inode, start, end] = LINE.exec(line.replace(" -> ", " ")) ?? [];
  if (inode === undefined || BigInt(inode) !== file.ino || Number(pid) <= 0) return undefined;
  const [ownMajor, ownMinor] = splitDevice(file.dev);
  const sameDevice =
    Number.parseInt(major ?? "", 16) === ownMajor && Number.parseInt(minor ?? "", 16) === ownMinor;
  // Btrfs and overlays give files a device of their own that the table of locks does not know.
  if (!sameDevice && !hasOpen(Number(pid), file)) return undefined;
  return {
    pid: Number(pid),
    mode: mode === "WRITE" ? "write" : "read",
    start: Number(start),
    end: end === "EOF" ? Number.MAX_SAFE_INTEGER : Number(end),
  };
}

function hasOpen(pid: number, file: BigIntStats): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((name) => {
      const opened = statSync(`/proc/${pid}/fd/${name}`, { bigint: true, throwIfNoEntry: false });
      return opened?.ino === file.ino && opened.dev === file.dev;
    });
  } catch {
    return false;
  }
}
