import type { Clock } from "../../core/clock.ts";

interface Held {
  readonly queue: string;
  readonly id: string;
  attempt: number;
  /** Epoch milliseconds: given back, and not to be handed out before. */
  dueAt: number;
  /** Monotonic: settled then, and perhaps not heard by the server. */
  settledAt: number | undefined;
}

/** What a delivery was settled with. */
export interface Settled {
  readonly attempts: number;
  readonly dueAt: number;
}

/** One message: how often it was handed out, and where it was given back, when it may come again, epoch milliseconds. */
type InHand = readonly [id: string, attempt: number, dueAt?: number];

/** What one process had in hand when its channel was lost, by queue. */
export type Hand = Readonly<Record<string, readonly InHand[]>>;

/** What was told of a message. */
interface Known {
  attempt: number;
  readonly dueAt: number;
  /** Monotonic: forgotten then. */
  readonly until: number;
}

/** How long a settlement may be on its way. */
const SETTLING_MS = 5000;
/** Places of the list that may lie empty in front. */
const COMPACT_AT = 1024;
/** How long after a loss a message may come again. */
const KNOWN_MS = 60_000;

/**
 * How often messages were handed out. A server that was killed forgets whom it had given them to, and does not count them:
 * so every process tells the others what it had in hand, and until when that is to wait, before it reads again.
 */
export class Hands {
  readonly #clock: Clock;
  readonly #mine = new Map<string, Map<string, Held>>();
  /** In the order of their settling; those before `#first` are no more. */
  #settled: Held[] = [];
  #first = 0;
  #known = new Map<string, Known>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  handedOut(queue: string, id: string, attempt: number): void {
    let held = this.#mine.get(queue);
    if (held === undefined) this.#mine.set(queue, (held = new Map()));
    held.set(id, { queue, id, attempt, dueAt: 0, settledAt: undefined });
  }

  /** `attempts`: how many there were, now that it is settled; `dueAt`: epoch milliseconds, not to come before. */
  settled(queue: string, id: string, { attempts, dueAt }: Settled): void {
    const held = this.#mine.get(queue)?.get(id);
    if (held === undefined) return;
    held.attempt = attempts;
    held.dueAt = dueAt;
    held.settledAt = this.#clock.monotonic();
    this.#settled.push(held);
    const known = this.#told(queue, id);
    if (known !== undefined) known.attempt = attempts;
    this.#prune(held.settledAt - SETTLING_MS);
  }

  /** Everything that may come again without being counted. */
  mine(): Hand {
    const found: Record<string, InHand[]> = {};
    this.#prune(this.#clock.monotonic() - SETTLING_MS);
    for (const [queue, held] of this.#mine)
      if (held.size > 0)
        found[queue] = [...held].map(([id, { attempt, dueAt }]) =>
          dueAt > 0 ? [id, attempt, dueAt] : [id, attempt],
        );
    return found;
  }

  /** A process has told what it had in hand. */
  hear(hand: Hand): void {
    const now = this.#clock.monotonic();
    const old = [...this.#known].filter(([, { until }]) => until > now);
    if (old.length < this.#known.size) this.#known = new Map(old);
    for (const [queue, items] of Object.entries(hand)) {
      for (const [id, attempt, dueAt = 0] of items) {
        const known = this.#told(queue, id);
        this.#known.set(keyOf(queue, id), {
          attempt: Math.max(attempt, known?.attempt ?? 0),
          dueAt: Math.max(dueAt, known?.dueAt ?? 0),
          until: now + KNOWN_MS,
        });
      }
    }
  }

  /**
   * How many attempts there were at least. `isReturned`: of a copy that was given back; the message that it was made of may have
   * come again beside it.
   */
  attempts(queue: string, id: string, isReturned: boolean): number {
    const known = this.#told(queue, id);
    const mine = isReturned ? this.#mine.get(queue)?.get(id) : undefined;
    return Math.max(known?.attempt ?? 0, mine?.attempt ?? 0);
  }

  /**
   * When it may come again, epoch milliseconds: where a connection was lost while it was given back, the message comes beside its
   * copy, and at once, to this process or another.
   */
  dueAt(queue: string, id: string): number {
    return Math.max(this.#mine.get(queue)?.get(id)?.dueAt ?? 0, this.#told(queue, id)?.dueAt ?? 0);
  }

  #told(queue: string, id: string): Known | undefined {
    return this.#known.size === 0 ? undefined : this.#known.get(keyOf(queue, id));
  }

  #prune(before: number): void {
    const settled = this.#settled;
    for (; this.#first < settled.length; this.#first++) {
      const held = settled[this.#first] as Held;
      if ((held.settledAt ?? 0) > before) break;
      const mine = this.#mine.get(held.queue);
      if (mine?.get(held.id) === held) mine.delete(held.id);
      if (mine?.size === 0) this.#mine.delete(held.queue);
    }
    if (this.#first < COMPACT_AT || this.#first < settled.length / 2) return;
    this.#settled = settled.slice(this.#first);
    this.#first = 0;
  }
}

function keyOf(queue: string, id: string): string {
  return `${id} ${queue}`;
}
