import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";

/*
 * A process that closes a file gives up every POSIX lock that it holds on it, whoever of its threads took them: a read of
 * SQLite's files in here could let go of the locks of a connection that another thread has just opened. Another process
 * does it instead. Windows has no such rule.
 */
const IS_WINDOWS = process.platform === "win32";
const TIMEOUT_MS = 60_000;

/** The bytes of a file that SQLite locks; undefined where they cannot be had. */
export function readOutside(path: string): Uint8Array | undefined {
  if (IS_WINDOWS) return readFileSync(path);
  const { status, stdout } = spawnSync("cat", ["--", path], { timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 });
  return status === 0 ? stdout : undefined;
}

/** Copies a file that SQLite locks, times and permissions with it. Throws what the copying said. */
export function copyOutside(from: string, to: string): void {
  if (IS_WINDOWS) {
    copyFileSync(from, to);
    return;
  }
  const { status, stderr, error } = spawnSync("cp", ["-p", "--", from, to]);
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(stderr.toString().trim());
}
