import { PRIORITY_LEVELS } from "../../core/priority.ts";
import { isWildcard } from "../../core/pattern.ts";
import { createTally, type Entry, type EntryQueue, type Holder, type Tally } from "./entry.ts";
import { KeyLocks } from "./key-locks.ts";
import { Lane } from "./lane.ts";

const FIFO_LANE = 0;

/** What one group has waiting for it under one pattern, and the members that share it. */
export class GroupQueue implements EntryQueue {
  /** Null: the private queue of one broadcast subscription. */
  readonly group: string | null;
  readonly pattern: string;
  readonly strict: boolean;
  readonly members = new Set<Holder>();
  readonly #lanes: (Lane | undefined)[] = [];
  readonly #locks = new KeyLocks();
  readonly #tallies = new Map<string, Tally>();
  readonly #only: Tally | undefined;
  /** Subscriptions waiting in receive, the longest first. */
  readonly #waiting = new Set<Holder>();
  /** True once its broadcast subscription has closed: what still comes back ends. */
  gone = false;
  /** No lane below this one holds an entry. */
  #lowest = PRIORITY_LEVELS;
  #ready = 0;

  constructor(options: {
    readonly group: string | null;
    readonly pattern: string;
    readonly strict: boolean;
  }) {
    this.group = options.group;
    this.pattern = options.pattern;
    this.strict = options.strict;
    if (!isWildcard(options.pattern)) this.#tallies.set(options.pattern, (this.#only = createTally()));
  }

  /** True while an entry waits and somebody waits for one. */
  get canServe(): boolean {
    return this.#ready > 0 && this.#waiting.size > 0;
  }

  get ready(): number {
    return this.#ready;
  }

  /** How many entries wait, for a member or for their key. */
  get waiting(): number {
    return this.#ready + this.#locks.waiting;
  }

  /** True when nobody reads and nothing is unread. */
  get isIdle(): boolean {
    if (this.members.size > 0) return false;
    for (const { lag } of this.#tallies.values()) if (lag > 0) return false;
    return true;
  }

  tallyOf(channel: string): Tally {
    if (this.#only !== undefined) return this.#only;
    let tally = this.#tallies.get(channel);
    if (tally === undefined) this.#tallies.set(channel, (tally = createTally()));
    return tally;
  }

  /** Puts a new entry behind its equals. `exclusive`: no other group holds its envelope. */
  push(entry: Entry, exclusive: boolean): void {
    this.#lane(entry).push(entry, exclusive);
    this.#ready++;
  }

  /** Puts an entry that comes back before its equals: it is older than they are. */
  unshift(entry: Entry): void {
    this.#lane(entry).unshift(entry);
    this.#ready++;
  }

  /** The next entry whose key is free, marked as holding its key. */
  next(): Entry | undefined {
    for (let entry = this.#shift(); entry !== undefined; entry = this.#shift()) {
      if (entry.envelope.key === undefined || this.#locks.take(entry)) return entry;
    }
    return undefined;
  }

  /** The oldest of the least urgent entries, to be dropped: one that is ready, or one that waits for its key. */
  dropOldest(): Entry | undefined {
    const ready = this.#shiftLeastUrgent();
    const locked = this.#locks.oldest;
    if (locked === undefined || (ready !== undefined && !this.#isDroppedBefore(locked, ready))) return ready;
    if (ready !== undefined) this.unshift(ready);
    this.#locks.drop(locked);
    return locked;
  }

  #shiftLeastUrgent(): Entry | undefined {
    for (let level = this.#lanes.length - 1; level >= 0; level--) {
      const entry = this.#lanes[level]?.shift();
      if (entry === undefined) continue;
      this.#ready--;
      return entry;
    }
    return undefined;
  }

  #isDroppedBefore(one: Entry, other: Entry): boolean {
    const difference = this.strict ? 0 : one.envelope.priority - other.envelope.priority;
    return difference === 0 ? one.sequence < other.sequence : difference > 0;
  }

  /** An entry is done with: the next of its key may go. */
  unlock(entry: Entry): void {
    if (entry.envelope.key === undefined) return;
    const next = this.#locks.free(entry);
    if (next !== undefined) this.unshift(next);
  }

  /** An entry comes back under a strict order: its key stays held, for `returning`. */
  handOn(entry: Entry, returning: Entry): void {
    if (entry.envelope.key !== undefined) this.#locks.handOn(entry, returning);
  }

  /**
   * Takes every waiting entry of a channel, or of all, out of the queue. Those that wait for their key stand first: they were looked
   * at before those that nobody has looked at yet, so that whoever puts entries back in this order keeps the order of each key.
   */
  takeAll(channel?: string): Entry[] {
    const kept: Entry[] = [];
    const taken: Entry[] = [];
    for (let entry = this.#shift(); entry !== undefined; entry = this.#shift()) {
      (channel === undefined || entry.envelope.channel === channel ? taken : kept).push(entry);
    }
    for (const entry of kept) this.push(entry, false);
    return [...this.#locks.takeAll(channel), ...taken];
  }

  wait(subscription: Holder): void {
    this.#waiting.add(subscription);
  }

  stopWaiting(subscription: Holder): void {
    this.#waiting.delete(subscription);
  }

  /** Gives what is ready to those who wait, the longest waiting first. */
  serve(): void {
    for (const subscription of this.#waiting) {
      if (this.#ready === 0) return;
      subscription.wake();
    }
  }

  #lane(entry: Entry): Lane {
    const level = this.strict ? FIFO_LANE : entry.envelope.priority;
    if (level < this.#lowest) this.#lowest = level;
    return (this.#lanes[level] ??= new Lane(this));
  }

  #shift(): Entry | undefined {
    if (this.#ready === 0) return undefined;
    for (let level = this.#lowest; level < this.#lanes.length; level++) {
      const entry = this.#lanes[level]?.shift();
      if (entry === undefined) continue;
      this.#lowest = level;
      this.#ready--;
      return entry;
    }
    return undefined;
  }
}
