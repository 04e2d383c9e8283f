import { closeSync, constants, openSync, writeSync } from "node:fs";
import path from "node:path";

/** A file that is written to when there is something to see. */
export const BELL_NAME = "herald.bell";
const { O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
const STROKE = new Uint8Array([0x2e]);

/**
 * Tells processes that watch the folder that a commit can be seen. What SQLite itself writes tells them too early: the log
 * is written before a commit can be seen, and what makes it visible is shared memory, which no watch notices.
 */
export class Bell {
  #handle: number | undefined;

  constructor(directory: string) {
    try {
      this.#handle = openSync(path.join(directory, BELL_NAME), O_CREAT | O_WRONLY | O_NOFOLLOW, 0o600);
    } catch {
      // Whoever waits looks by himself; what is wrong with the folder, the store says.
    }
  }

  /** Never throws. */
  ring(): void {
    if (this.#handle === undefined) return;
    try {
      writeSync(this.#handle, STROKE, 0, 1, 0);
    } catch {
      // The disk is full: nobody is woken, and everybody looks by himself.
    }
  }

  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }
}
