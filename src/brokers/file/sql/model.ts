import { isWildcard, matchPattern } from "../../../core/pattern.ts";

/** A channel as this process knows it. */
export class Channel {
  readonly id: number;
  readonly name: string;
  retentionMs: number | null = null;
  /** Ascending priority. */
  readonly lanes: Lane[] = [];
  route: readonly Group[] = [];
  /** The state of the topology that `route` was found in. */
  routeVersion = -1;

  constructor(id: number, name: string) {
    this.id = id;
    this.name = name;
  }
}

/** The messages of one channel and one priority. */
export class Lane {
  readonly id: number;
  readonly channel: Channel;
  readonly priority: number;
  firstSeq = 0;
  lastSeq = 0;
  /** Bytes of a body, as it was lately: how many rows are read at once depends on it. */
  bodyBytes = 65_536;

  constructor(id: number, channel: Channel, priority: number) {
    this.id = id;
    this.channel = channel;
    this.priority = priority;
  }
}

/** What a group has read of a lane: everything up to `seq`, which are `passed` messages since the lane began. */
export class Cursor {
  seq: number;
  passed: number;
  /** Older than the topology's: it must be read again. */
  epoch: number;

  constructor(seq: number, passed: number, epoch: number) {
    this.seq = seq;
    this.passed = passed;
    this.epoch = epoch;
  }
}

/** What a pattern is made of. */
interface PatternInit {
  readonly pattern: string;
  readonly strict: boolean;
  readonly startSeq: number;
}

/** One pattern that a group reads. */
export class Pattern {
  readonly id: number;
  readonly group: Group;
  readonly pattern: string;
  strict: boolean;
  /** A channel without a cursor is read after this position. */
  startSeq: number;

  constructor(id: number, group: Group, read: PatternInit) {
    this.id = id;
    this.group = group;
    this.pattern = read.pattern;
    this.strict = read.strict;
    this.startSeq = read.startSeq;
  }

  covers(channel: Channel): boolean {
    return matchPattern(this.pattern, channel.name);
  }
}

/** Consumers that share messages. */
export class Group {
  readonly id: number;
  /** Null: the private group of one broadcast subscription. */
  readonly name: string | null;
  readonly owner: number | null;
  readonly patterns = new Map<string, Pattern>();
  readonly cursors = new Map<Lane, Cursor>();
  /** When the first of the exceptions that wait in a channel is ready, monotonic. Only kept while there are members here. */
  readonly due = new Map<Channel, number>();
  /** Lanes that may hold more than was read; only kept while a member here has a pattern with wildcards. */
  readonly behind = new Set<Lane>();
  readonly members = new Set<Member>();
  /** Members that wait, the longest first: by channel name, and those with wildcards. */
  readonly waiting = new Map<string, Set<Member>>();
  readonly waitingWild = new Set<Member>();
  wildMembers = 0;

  constructor(id: number, name: string | null, owner: number | null) {
    this.id = id;
    this.name = name;
    this.owner = owner;
  }

  addPattern(id: number, init: PatternInit): Pattern {
    const made = new Pattern(id, this, init);
    this.patterns.set(init.pattern, made);
    return made;
  }

  /** It reads nothing any more: its members find nothing. */
  forget(): void {
    for (const kept of [this.patterns, this.cursors, this.due, this.behind]) kept.clear();
  }

  forgetChannel(channel: Channel): void {
    this.due.delete(channel);
    for (const lane of channel.lanes) {
      this.cursors.delete(lane);
      this.behind.delete(lane);
    }
  }

  /** A member begins to wait. */
  wait(member: Member): void {
    if (member.isWild) this.waitingWild.add(member);
    else {
      const waiting = this.waiting.get(member.pattern);
      if (waiting === undefined) this.waiting.set(member.pattern, new Set([member]));
      else waiting.add(member);
    }
  }

  stopWaiting(member: Member): void {
    this.waitingWild.delete(member);
    const waiting = this.waiting.get(member.pattern);
    if (waiting?.delete(member) === true && waiting.size === 0) this.waiting.delete(member.pattern);
  }

  /** Members that wait and read this channel. */
  *waitingFor(channel: Channel): Generator<Member> {
    yield* this.waiting.get(channel.name) ?? [];
    for (const member of this.waitingWild) if (member.covers(channel)) yield member;
  }
}

/** One subscription of this process. */
export class Member {
  readonly id: number;
  /** The broker object it belongs to. */
  readonly client: number;
  readonly group: Group;
  readonly pattern: string;
  readonly strict: boolean;
  readonly isWild: boolean;
  /** How many deliveries it waits for; 0: it does not wait. */
  wanted = 0;
  /** How many deliveries it holds. */
  holding = 0;
  /** True while it holds a message whose holders died before: it gets nothing beside it. */
  isAlone = false;
  readonly #covered = new Map<Channel, boolean>();

  constructor(
    id: number,
    client: number,
    group: Group,
    read: { readonly pattern: string; readonly strict: boolean },
  ) {
    this.id = id;
    this.client = client;
    this.group = group;
    this.pattern = read.pattern;
    this.strict = read.strict;
    this.isWild = isWildcard(read.pattern);
  }

  covers(channel: Channel): boolean {
    if (!this.isWild) return channel.name === this.pattern;
    let covers = this.#covered.get(channel);
    if (covers === undefined) this.#covered.set(channel, (covers = matchPattern(this.pattern, channel.name)));
    return covers;
  }
}
