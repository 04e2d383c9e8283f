import { systemClock, type Clock } from "../core/clock.ts";
import { inboxFull, inboxKey, inboxLimits } from "../core/inbox-limits.ts";
import type { Inbox, InboxOptions, InboxState } from "../core/store.ts";

/** Options of the memory inbox. */
export interface MemoryInboxOptions extends InboxOptions {
  readonly clock?: Clock;
}

/** An inbox in this process. Ids are kept in two generations: each lives between one and two horizons. */
export class MemoryInbox implements Inbox {
  readonly #clock: Clock;
  readonly #horizonMs: number;
  readonly #maxIds: number;
  readonly #busy = new Set<string>();
  #current = new Set<string>();
  #previous = new Set<string>();
  #turnedAt: number;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: MemoryInboxOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    const { horizonMs, maxIds } = inboxLimits(options);
    this.#horizonMs = horizonMs;
    this.#maxIds = maxIds;
    this.#turnedAt = this.#clock.monotonic();
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#current.size + this.#previous.size;
  }

  claim(group: string, id: string): InboxState {
    const key = inboxKey(group, id);
    this.#turn();
    if (this.#current.has(key) || this.#previous.has(key)) return "done";
    if (this.#busy.has(key)) return "busy";
    if (this.size + this.#busy.size >= this.#maxIds) throw inboxFull(this.#maxIds);
    this.#busy.add(key);
    return "new";
  }

  commit(group: string, id: string): void {
    const key = inboxKey(group, id);
    // A handler may have run for longer than a horizon: its id must not land in a generation that is over.
    this.#turn();
    this.#busy.delete(key);
    this.#current.add(key);
  }

  abandon(group: string, id: string): void {
    this.#busy.delete(inboxKey(group, id));
  }

  #turn(): void {
    const now = this.#clock.monotonic();
    const age = now - this.#turnedAt;
    if (age < this.#horizonMs) return;
    const isRecent = age < 2 * this.#horizonMs;
    this.#previous = isRecent ? this.#current : new Set();
    this.#current = new Set();
    this.#turnedAt = isRecent ? this.#turnedAt + this.#horizonMs : now;
  }
}
