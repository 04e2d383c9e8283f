import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { threadId } from "node:worker_threads";
import { birthOf } from "./birth.ts";

const LOOK_EVERY_MS = 100;

/** Where what was fetched or built once is kept for this user's later runs. */
export function cacheFolder(name: string): string {
  const base = process.env["XDG_CACHE_HOME"] || path.join(homedir(), ".cache");
  return path.join(base, "herald", "servers", name);
}

/**
 * The folder, filled by whoever comes first: `fill` gets an empty one that takes the folder's place, whole, when it
 * returns. Others wait, in any process. When `fill` throws, so does this, and the next one tries again.
 */
export function filledOnce(folder: string, fill: (draft: string) => void): string {
  if (existsSync(folder)) return folder;
  return underLock(folder, () => {
    if (existsSync(folder)) return folder;
    const draft = mkdtempSync(`${folder}.draft-`);
    try {
      fill(draft);
      renameSync(draft, folder);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
    return folder;
  });
}

/** Does something while no other process of this user does something under the same name. It blocks. */
export function underLock<T>(name: string, task: () => T): T {
  const lock = `${name}.lock`;
  mkdirSync(path.dirname(lock), { recursive: true });
  while (!taken(lock)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
  try {
    return task();
  } finally {
    rmSync(lock, { force: true });
  }
}

function taken(lock: string): boolean {
  const own = `${lock}-${process.pid}-${threadId}`;
  writeFileSync(own, `${process.pid} ${birthOf(process.pid)}`);
  try {
    linkSync(own, lock);
    return true;
  } catch {
    if (!isHeld(lock)) rmSync(lock, { force: true });
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** False when whoever took the lock died with it. */
function isHeld(lock: string): boolean {
  try {
    const [pid, birth] = readFileSync(lock, "utf8").split(" ");
    return birthOf(Number(pid)) === birth;
  } catch {
    return true;
  }
}
