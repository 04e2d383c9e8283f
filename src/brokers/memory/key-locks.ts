import type { Entry } from "./entry.ts";

interface Lock {
  holder: Entry;
  /** Later entries of the key, in their order. */
  readonly waiting: Entry[];
  /** How far `waiting` has been read. */
  at: number;
}

/** Keeps the order of each partition key within one group: one entry of a key is out at a time. */
export class KeyLocks {
  readonly #locks = new Map<string, Lock>();

  /** True when `entry` now holds its key; false when it was put behind those that wait for it. */
  take(entry: Entry): boolean {
    const name = nameOf(entry);
    const lock = this.#locks.get(name);
    if (lock === undefined) {
      this.#locks.set(name, { holder: entry, waiting: [], at: 0 });
      return true;
    }
    if (lock.holder === entry) return true;
    lock.waiting.push(entry);
    return false;
  }

  /** Frees the key of `entry`; returns the entry whose turn it is. */
  free(entry: Entry): Entry | undefined {
    const name = nameOf(entry);
    const lock = this.#locks.get(name);
    if (lock === undefined || lock.holder !== entry) return undefined;
    const next = lock.waiting[lock.at];
    if (next === undefined) {
      this.#locks.delete(name);
      return undefined;
    }
    lock.waiting[lock.at++] = undefined as unknown as Entry;
    lock.holder = next;
    return next;
  }

  /** `returning` holds the key in place of `entry`. */
  handOn(entry: Entry, returning: Entry): void {
    const lock = this.#locks.get(nameOf(entry));
    if (lock !== undefined && lock.holder === entry) lock.holder = returning;
  }

  /** Takes every entry that waits for its key, of a channel or of all; who holds a key keeps it. */
  takeAll(channel?: string): Entry[] {
    const taken: Entry[] = [];
    for (const lock of this.#locks.values()) {
      if (channel !== undefined && lock.holder.envelope.channel !== channel) continue;
      taken.push(...lock.waiting.slice(lock.at));
      lock.waiting.length = lock.at;
    }
    return taken;
  }
}

function nameOf(entry: Entry): string {
  return `${entry.envelope.channel} ${entry.envelope.key}`;
}
