import { systemClock, type Clock } from "../core/clock.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import type { Inbox, InboxState } from "../core/store.ts";

/** Options of the memory inbox. */
export interface MemoryInboxOptions {
  readonly clock?: Clock;
  /** How long a handled id is remembered at least; longer than the longest possible redelivery. Default one hour. */
  readonly horizonMs?: number;
  /** Most ids remembered; one more is `OVERLOADED`, never a forgotten id within the horizon. Default 5,000,000. */
  readonly maxIds?: number;
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
    this.#horizonMs = aboveZero("horizonMs", options.horizonMs ?? 3_600_000);
    this.#maxIds = aboveZero("maxIds", options.maxIds ?? 5_000_000);
    this.#turnedAt = this.#clock.monotonic();
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#current.size + this.#previous.size;
  }

  claim(group: string, id: string): InboxState {
    const key = keyOf(group, id);
    this.#turn();
    if (this.#current.has(key) || this.#previous.has(key)) return "done";
    if (this.#busy.has(key)) return "busy";
    if (this.size + this.#busy.size >= this.#maxIds) throw full(this.#maxIds);
    this.#busy.add(key);
    return "new";
  }

  commit(group: string, id: string): void {
    const key = keyOf(group, id);
    // A handler may have run for longer than a horizon: its id must not land in a generation that is over.
    this.#turn();
    this.#busy.delete(key);
    this.#current.add(key);
  }

  abandon(group: string, id: string): void {
    this.#busy.delete(keyOf(group, id));
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

/** A group name may hold any printable character; an id never holds a space. */
function keyOf(group: string, id: string): string {
  return `${id} ${group}`;
}

function aboveZero(field: string, value: number): number {
  if (typeof value === "number" && value > 0) return value;
  throw new HeraldError(
    "INVALID_ARGUMENT",
    `Memory inbox option '${field}' must be a number above 0, not ${showValue(value)}.`,
    {
      details: { field },
    },
  );
}

function full(maxIds: number): HeraldError {
  const message = `The inbox remembers ${maxIds} ids already: raise maxIds, or shorten horizonMs if no redelivery can be that late.`;
  return new HeraldError("OVERLOADED", message, { details: { maxIds } });
}
