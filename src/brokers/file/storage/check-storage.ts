import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  type BigIntStats,
} from "node:fs";
import path from "node:path";
import { magicOf, sharedFileSystem } from "./file-systems.ts";
import { DATABASE_NAME } from "./names.ts";
import { systemError, unsafeStorage } from "./storage-errors.ts";

/** Which directory was checked: the same path may lead to another one later. */
export interface StorageIdentity {
  /** Absolute path. */
  readonly directory: string;
  readonly device: bigint;
  readonly inode: bigint;
  /** Files whose permissions were taken back to 0600. */
  readonly tightened: readonly string[];
}

/** What the check takes from the system, for tests. */
export interface CheckOptions {
  /** User that the files must belong to. Default: who runs this process; undefined where the system has no users. */
  readonly uid?: number | undefined;
  /** Magic number of the file system of a path, as statfs(2) gives it. */
  readonly magicOf?: (path: string) => number;
}

const FILES = [DATABASE_NAME, `${DATABASE_NAME}-wal`, `${DATABASE_NAME}-shm`];
const WRITABLE_BY_OTHERS = 0o022n;
const OPEN_TO_OTHERS = 0o077n;
const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const NEW_FILE_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Makes a place for files of messages, or makes sure that one can be trusted: a directory of 0700 with a database of 0600.
 * Blocks; meant for the thread that does the storage's work, before SQLite opens the database.
 *
 * A directory of ours that others may read is left as it is, since it may hold other things; our files in it are taken back
 * to 0600 where others could read them. What others could write is refused, because what it says cannot be trusted any more.
 *
 * Throws `UNSAFE_STORAGE` for a symbolic link, a foreign owner, a place that others may write, a file system shared with
 * other machines, and what is no directory or no regular file; `FORBIDDEN` and `STORAGE_FULL` for what the system says.
 */
export function checkStorage(directory: string, options: CheckOptions = {}): StorageIdentity {
  const place = path.resolve(directory);
  try {
    mkdirSync(place, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw isTaken(error) || isSymbolicLink(place) ? notADirectory(place) : systemError(error, place);
  }
  try {
    return check(place, "uid" in options ? options.uid : process.getuid?.(), options.magicOf ?? magicOf);
  } catch (error) {
    throw systemError(error, place);
  }
}

function check(place: string, uid: number | undefined, magic: (path: string) => number): StorageIdentity {
  // Held open to the end: whoever swaps the directory meanwhile is found by its inode.
  const handle = openDirectory(place);
  try {
    const opened = fstatSync(handle, { bigint: true });
    checkDirectory(place, opened, uid);
    const shared = sharedFileSystem(place, magic(place));
    if (shared !== undefined)
      throw unsafeStorage(
        place,
        `lies on ${shared}, which other machines share`,
        "Choose a directory on a disk of this machine.",
      );
    const tightened = FILES.filter((name) => checkFile(path.join(place, name), uid));
    makeDatabase(path.join(place, DATABASE_NAME));
    const now = lstatSync(place, { bigint: true });
    if (now.ino !== opened.ino || now.dev !== opened.dev)
      throw unsafeStorage(
        place,
        "was replaced while it was checked",
        "Find out who may write to its parent directory.",
      );
    return { directory: place, device: opened.dev, inode: opened.ino, tightened };
  } finally {
    closeSync(handle);
  }
}

function openDirectory(place: string): number {
  try {
    return openSync(place, DIRECTORY_FLAGS);
  } catch (error) {
    const found = lstatSync(place, { throwIfNoEntry: false });
    throw found === undefined || found.isDirectory() ? error : notADirectory(place);
  }
}

function checkDirectory(place: string, found: BigIntStats, uid: number | undefined): void {
  if (uid === undefined) return;
  if (found.uid !== BigInt(uid))
    throw unsafeStorage(
      place,
      `belongs to user ${found.uid}, not to user ${uid} who runs this`,
      "Run it as that user, or choose another directory.",
    );
  if ((found.mode & WRITABLE_BY_OTHERS) !== 0n)
    throw unsafeStorage(
      place,
      `may be written by others (mode ${octal(found)})`,
      `Run: chmod 700 '${place}'`,
    );
}

/** True when the file was open to other readers and is not any more. */
function checkFile(file: string, uid: number | undefined): boolean {
  const found = lstatSync(file, { bigint: true, throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isSymbolicLink())
    throw unsafeStorage(file, "is a symbolic link", "Remove it, and put the file itself in its place.");
  if (!found.isFile())
    throw unsafeStorage(file, "is no regular file", "Remove it, or choose another directory.");
  if (uid === undefined) return false;
  if (found.uid !== BigInt(uid))
    throw unsafeStorage(
      file,
      `belongs to user ${found.uid}, not to user ${uid} who runs this`,
      `Run it as that user, or: chown ${uid} '${file}'`,
    );
  if ((found.mode & WRITABLE_BY_OTHERS) !== 0n)
    throw unsafeStorage(
      file,
      `may be written by others (mode ${octal(found)})`,
      `Look at what it holds with 'herald doctor'; then: chmod 600 '${file}'`,
    );
  if ((found.mode & OPEN_TO_OTHERS) === 0n) return false;
  chmodSync(file, 0o600);
  return true;
}

/** SQLite would make the file with the permissions that the umask leaves; its other two files copy those of the database. */
function makeDatabase(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) return;
  try {
    closeSync(openSync(file, NEW_FILE_FLAGS, 0o600));
  } catch (error) {
    // Another process was faster, and made it the same way.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function isTaken(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EEXIST" || code === "ENOTDIR";
}

function notADirectory(place: string): Error {
  if (isSymbolicLink(place))
    return unsafeStorage(place, "is a symbolic link", "Name the directory that it leads to.");
  return unsafeStorage(place, "is no directory", "Name a directory, or one that can be made.");
}

function octal(found: BigIntStats): string {
  return `0${(found.mode & 0o777n).toString(8)}`;
}

function isSymbolicLink(place: string): boolean {
  try {
    return lstatSync(place).isSymbolicLink();
  } catch {
    return false;
  }
}
