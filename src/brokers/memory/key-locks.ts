import type { Entry } from "./entry.ts";

interface Lock {
  holder: Entry;
  /** Later entries of the key, in their order. */
  readonly waiting: Entry[];
  /** How far `waiting` has been read. */
  at: number;
}

const COMPACT_AT = 1024;

/** Keeps the order of each partition key within one group: one entry of a key is out at a time. */
export class KeyLocks {
  readonly #locks = new Map<string, Lock>();
  #waiting = 0;

  /** How many entries wait for their key. */
  get waiting(): number {
    return this.#waiting;
  }

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
    this.#waiting++;
    return false;
  }

  /** Frees the key of `entry`; returns the entry whose turn it is. */
  free(entry: Entry): Entry | undefined {
    const name = nameOf(entry);
    const lock = this.#locks.get(name);
    if (lock === undefined || lock.holder !== entry) return undefined;
    const next = this.#shift(lock);
    if (next === undefined) this.#locks.delete(name);
    else lock.holder = next;
    return next;
  }

  /** The oldest of the entries that are next for their key. */
  get oldest(): Entry | undefined {
    let oldest: Entry | undefined;
    if (this.#waiting === 0) return undefined;
    for (const lock of this.#locks.values()) {
      const first = lock.waiting[lock.at];
      if (first !== undefined && first.sequence < (oldest?.sequence ?? Infinity)) oldest = first;
    }
    return oldest;
  }

  /** Takes out an entry that is next for its key. */
  drop(entry: Entry): void {
    const lock = this.#locks.get(nameOf(entry));
    if (lock?.waiting[lock.at] === entry) this.#shift(lock);
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
      for (let entry = this.#shift(lock); entry !== undefined; entry = this.#shift(lock)) taken.push(entry);
    }
    return taken;
  }

  #shift(lock: Lock): Entry | undefined {
    const first = lock.waiting[lock.at];
    if (first === undefined) return undefined;
    lock.waiting[lock.at++] = undefined as unknown as Entry;
    this.#waiting--;
    // A key that always has a next one must not keep a slot for each that it ever had.
    if (lock.at > COMPACT_AT && lock.at * 2 > lock.waiting.length) {
      lock.waiting.splice(0, lock.at);
      lock.at = 0;
    }
    return first;
  }
}

function nameOf(entry: Entry): string {
  return `${entry.envelope.channel} ${entry.envelope.key}`;
}
