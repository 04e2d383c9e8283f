import type { Delivery, Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { NO_FAILURES } from "../shared/failures.ts";

/** Lag and hand-outs of one channel within one group. */
export interface Tally {
  lag: number;
  unsettled: number;
  /** The channel was purged: what comes back with this sequence or a lower one ends. */
  purgedThrough: number;
}

/** The queue of a group, as far as its entries know it. */
export interface EntryQueue {
  /** True once its broadcast subscription has closed: what still comes back ends. */
  readonly gone: boolean;
  readonly strict: boolean;
  readonly ready: number;
  /** True while an entry waits and somebody waits for one. */
  readonly canServe: boolean;
  tallyOf(channel: string): Tally;
  /** Puts an entry that comes back before its equals: it is older than they are. */
  unshift(entry: Entry): void;
  /** An entry is done with: the next of its key may go. */
  unlock(entry: Entry): void;
  /** An entry comes back and its key stays held, for `returning`. */
  handOn(entry: Entry, returning: Entry): void;
  /** Gives what is ready to those who wait, the longest waiting first. */
  serve(): void;
}

/** Who holds a delivery: a subscription, told apart by identity. */
export interface Holder {
  /** Something may be ready. */
  wake(): void;
  close(): Promise<void>;
}

/** A tally of nothing. */
export function createTally(): Tally {
  return { lag: 0, unsettled: 0, purgedThrough: 0 };
}

/**
 * One envelope in one group's queue, and the delivery once it is handed out. A message that comes back gets a new entry,
 * so that a late settlement of the old hand-out meets an entry that is settled already.
 */
export class Entry implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly failures: readonly Failure[];
  readonly sequence: number;
  readonly queue: EntryQueue;
  readonly tally: Tally;
  /** Who holds it; null while it waits, and again once it is settled. */
  holder: Holder | null = null;

  constructor(
    queue: EntryQueue,
    envelope: Envelope,
    place: { readonly sequence: number; readonly tally: Tally },
    history: { readonly attempt: number; readonly failures: readonly Failure[] } = FIRST,
  ) {
    this.queue = queue;
    this.envelope = envelope;
    this.sequence = place.sequence;
    this.tally = place.tally;
    this.attempt = history.attempt;
    this.failures = history.failures;
  }

  get position(): string {
    return String(this.sequence);
  }

  /** True when nobody wants it any more. */
  get isObsolete(): boolean {
    return this.queue.gone || this.sequence <= this.tally.purgedThrough;
  }

  /** A delivery in process has no lease: its holder cannot die without the broker. */
  get leaseMs(): null {
    return null;
  }

  get receipt(): unknown {
    return this;
  }
}

const FIRST = { attempt: 1, failures: NO_FAILURES };

/** The result of an accepted publish; its position becomes text only when somebody asks. */
export class Accepted {
  readonly ok = true as const;
  readonly deduplicated: boolean;
  readonly matched: number;
  readonly #sequence: number;

  constructor(sequence: number, matched: number, deduplicated: boolean) {
    this.#sequence = sequence;
    this.matched = matched;
    this.deduplicated = deduplicated;
  }

  get position(): string {
    return String(this.#sequence);
  }
}
