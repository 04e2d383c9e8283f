import { isWildcard, matchPattern } from "../../core/pattern.ts";
import { Column } from "./columns.ts";
import { IdIndex, type Place } from "./id-index.ts";

/** What a publish came to, as flags of {@link Messages.flags}. */
export const PUBLISH = {
  invoked: 1,
  acked: 2,
  refused: 4,
  indeterminate: 8,
  delivered: 16,
  open: 32,
  again: 64,
} as const;

/** Where a delivery stands in its group, as flags of {@link Rows.state}. */
export const DELIVERY = {
  /** Handed out and not settled. */
  open: 1,
  /** May come again, as the next attempt. */
  counted: 2,
  /** May come again, as the same attempt. Together with `counted`: nobody knows which. */
  uncounted: 4,
  dead: 8,
  expired: 16,
  pending: 32,
  skipped: 64,
} as const;

/** What is known of one writer's messages, by counter. */
export class Messages {
  readonly flags = Column.bytes();
  /** How many copies may lie in the broker. */
  readonly copies = Column.bytes();
  readonly hash = Column.words();
  readonly invokedSeq = Column.words();
  readonly okSeq = Column.words();
  readonly invokedAt = Column.doubles();
  readonly batch = Column.words();
  /** Index of what keeps order together, plus one; zero: no order is promised. */
  readonly lane = Column.words();
  readonly channel = Column.words();
  readonly notBefore = Column.doubles();
  readonly expiresAt = Column.doubles();
  /** One more than the highest counter. */
  length = 0;
}

/** What is known of one writer's messages in one group, by counter. */
export class Rows {
  readonly state = Column.bytes();
  readonly starts = Column.shorts();
  readonly effects = Column.shorts();
  readonly acks = Column.shorts();
  readonly attempt = Column.shorts();
  readonly failures = Column.shorts();
  readonly replays = Column.bytes();
  readonly notBefore = Column.doubles();
}

/** What a group must get: by pattern, publishes that began after the event of this number; -1: all. */
export class Expectations {
  readonly #channels = new Map<string, number>();
  readonly #patterns = new Map<string, number>();

  add(pattern: string, since: number): void {
    const known = isWildcard(pattern) ? this.#patterns : this.#channels;
    known.set(pattern, Math.min(since, known.get(pattern) ?? Infinity));
  }

  clear(): void {
    this.#channels.clear();
    this.#patterns.clear();
  }

  /** Must the group get what was published on `channel` by the event `invoked`? */
  include(channel: string, invoked: number): boolean {
    const since = this.#channels.get(channel);
    if (since !== undefined && invoked > since) return true;
    for (const [pattern, from] of this.#patterns)
      if (invoked > from && matchPattern(pattern, channel)) return true;
    return false;
  }
}

/** One writer's progress in one lane of one group. */
export interface LaneProgress {
  /** Highest start of a publish among those that took effect. */
  maxInvoked: number;
  readonly batches: Map<number, { batch: number; maxInvoked: number }>;
}

/** One group of consumers. */
export class GroupState {
  readonly name: string;
  readonly #rows: Rows[] = [];
  readonly expectations = new Expectations();
  readonly firstStarts = new Map<number, LaneProgress>();
  readonly firstEffects = new Map<number, LaneProgress>();
  handled = 0;
  started = 0;

  constructor(name: string) {
    this.name = name;
  }

  rows(writer: number): Rows {
    return (this.#rows[writer] ??= new Rows());
  }
}

/** Everything the checker remembers. */
export class Tables {
  readonly ids = new IdIndex();
  readonly groups = new Map<string, GroupState>();
  readonly #messages: Messages[] = [];
  readonly #channels: string[] = [];
  readonly #channelIndex = new Map<string, number>();
  readonly #lanes = new Map<string, number>();

  /** The messages of each writer. */
  writers(): readonly (Messages | undefined)[] {
    return this.#messages;
  }

  messages(writer: number): Messages {
    return (this.#messages[writer] ??= new Messages());
  }

  group(name: string): GroupState {
    let group = this.groups.get(name);
    if (group === undefined) this.groups.set(name, (group = new GroupState(name)));
    return group;
  }

  show(place: Place): string {
    return this.ids.id(place.writer, place.counter);
  }

  channel(name: string): number {
    let at = this.#channelIndex.get(name);
    if (at === undefined) {
      at = this.#channels.push(name) - 1;
      this.#channelIndex.set(name, at);
    }
    return at;
  }

  channelName(at: number): string {
    return this.#channels[at] as string;
  }

  lane(channel: string, key: string | undefined, priority: number | undefined): number {
    const name = JSON.stringify([channel, key ?? null, priority ?? null]);
    let at = this.#lanes.get(name);
    if (at === undefined) this.#lanes.set(name, (at = this.#lanes.size + 1));
    return at;
  }
}
