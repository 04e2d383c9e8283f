import { matchPattern } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { GroupQueue } from "../memory/group-queue.ts";
import type { Home } from "./channels.ts";
import type { Once } from "./once.ts";
import { decodeState } from "./unit-state.ts";
import { Unit, type UnitHost } from "./unit.ts";
import type { KafkaSubscription } from "./subscription.ts";

/** What a group needs of its broker. */
export interface GroupHost {
  readonly unit: Omit<UnitHost, "kafkaGroup" | "idle" | "lost">;
  /** The Kafka group under which its place on a channel is kept. */
  kafkaGroup(group: string, home: Home): string;
  lost(group: string, unit: Unit, count: number | null): void;
  /** The names of channels that exist and are covered by a pattern. */
  channelsOf(pattern: string): readonly string[];
  homeOf(channel: string): Home;
  /** Its partitions; empty while nothing is known of its topic, which is then asked for. */
  partitionsOf(home: Home): readonly number[];
  /** Does this process handle it? */
  isOurs(group: string, channel: string, partition: number): boolean;
  /** Where a unit begins, asked of Kafka. */
  load(group: string, unit: Unit): Promise<{ readonly offset: number; readonly metadata: string }>;
  fromOf(channel: string, partition: number): number;
  /** What was stored of late before its place, where repeats are to be recognised. */
  onceBefore(unit: Unit): Promise<Once | undefined>;
  read(unit: Unit): void;
  unread(unit: Unit): void;
  /** Resolves when what a unit said of its place is written. */
  written(unit: Unit): Promise<void>;
  /** It was given away, or nobody here wants it. */
  released(group: string): void;
}

/** One group in this process: the queues of its patterns, its subscriptions, and what it handles. */
export class Group {
  readonly name: string;
  readonly queues = new Map<string, GroupQueue>();
  readonly units = new Map<string, Unit>();
  readonly #trie = new PatternTrie<GroupQueue>();
  readonly #host: GroupHost;
  readonly #unitHost: UnitHost;
  readonly #leaving = new Set<Unit>();

  constructor(name: string, host: GroupHost) {
    this.name = name;
    this.#host = host;
    this.#unitHost = {
      ...host.unit,
      kafkaGroup: (home) => host.kafkaGroup(name, home),
      idle: (unit) => this.#idle(unit),
      lost: (unit, count) => host.lost(name, unit, count),
    };
  }

  /** Patterns that somebody here subscribes to. */
  get patterns(): readonly string[] {
    return [...this.queues.keys()];
  }

  /** True when nobody subscribes and nothing is out. */
  get isIdle(): boolean {
    return this.queues.size === 0 && this.units.size === 0;
  }

  /** The queue of a pattern, for one more subscription. */
  join(pattern: string, strict: boolean): GroupQueue {
    let queue = this.queues.get(pattern);
    if (queue === undefined) {
      queue = new GroupQueue({ group: this.name, pattern, strict });
      this.queues.set(pattern, queue);
      this.#trie.add(pattern, queue);
      for (const unit of this.units.values())
        if (matchPattern(pattern, unit.home.channel)) unit.feed(this.#trie.match(unit.home.channel));
      for (const channel of this.#host.channelsOf(pattern)) this.look(channel);
    }
    return queue;
  }

  /** A subscription is over. With the last of a pattern its queue goes. */
  leave(subscription: KafkaSubscription): void {
    const { queue } = subscription;
    if (queue.members.size > 0 || this.queues.get(queue.pattern) !== queue) return;
    this.queues.delete(queue.pattern);
    this.#trie.remove(queue.pattern, queue);
    queue.gone = true;
    for (const unit of this.units.values()) {
      if (!matchPattern(queue.pattern, unit.home.channel)) continue;
      const left = this.#trie.match(unit.home.channel);
      unit.feed(left, queue);
      if (left.length === 0) this.#release(unit);
    }
  }

  /** The group does not read a pattern any more: what it had of it is not its own, and is not written. */
  drop(pattern: string): void {
    const queue = this.queues.get(pattern);
    if (queue === undefined) return;
    this.queues.delete(pattern);
    this.#trie.remove(pattern, queue);
    queue.gone = true;
    for (const [key, unit] of this.units) {
      if (!matchPattern(pattern, unit.home.channel)) continue;
      const left = this.#trie.match(unit.home.channel);
      if (left.length === 0) this.#end(key, unit);
      else unit.feed(left, queue);
    }
  }

  /** A channel is there, or who handles it has changed. */
  look(channel: string): void {
    const queues = this.#trie.match(channel);
    if (queues.length === 0) return;
    const home = this.#host.homeOf(channel);
    for (const partition of this.#host.partitionsOf(home)) {
      const key = keyOf(channel, partition);
      const isOurs = this.#host.isOurs(this.name, channel, partition);
      const unit = this.units.get(key);
      if (unit === undefined) {
        if (isOurs) this.#begin(key, home, partition, queues);
      } else if (!isOurs) this.#release(unit);
      else if (this.#leaving.delete(unit) || !unit.isOurs) unit.keep();
    }
  }

  /** Looks at everything again. */
  lookAtAll(): void {
    const channels = new Set([...this.units.values()].map(({ home }) => home.channel));
    for (const pattern of this.queues.keys())
      for (const channel of this.#host.channelsOf(pattern)) channels.add(channel);
    for (const channel of channels) this.look(channel);
  }

  /** A channel is gone, with everything that was known of it. */
  forget(channel: string): void {
    for (const [key, unit] of this.units) if (unit.home.channel === channel) this.#end(key, unit);
  }

  /** This process is not one of the group any more, as far as the others know: nothing that it has is its own. */
  disown(): void {
    for (const [key, unit] of this.units) {
      unit.isLost = true;
      this.#end(key, unit);
    }
  }

  #idle(unit: Unit): void {
    if (this.#leaving.has(unit)) void this.#finish(unit);
  }

  #begin(key: string, home: Home, partition: number, queues: readonly GroupQueue[]): void {
    const unit = new Unit(home, partition, this.#unitHost);
    this.units.set(key, unit);
    unit.feed(queues);
    void this.#start(key, unit);
  }

  async #start(key: string, unit: Unit): Promise<void> {
    const { home, partition } = unit;
    const start = await this.#host.load(this.name, unit);
    if (this.units.get(key) !== unit) return;
    unit.purge(this.#host.fromOf(home.channel, partition));
    unit.restore(start.offset, decodeState(start.offset, start.metadata));
    const once = await this.#host.onceBefore(unit);
    if (this.units.get(key) !== unit) return;
    if (once !== undefined) unit.once = once;
    unit.feed(this.#trie.match(home.channel));
    if (this.#leaving.has(unit)) return;
    unit.isReading = true;
    this.#host.read(unit);
  }

  #release(unit: Unit): void {
    if (this.#leaving.has(unit)) return;
    this.#leaving.add(unit);
    unit.giveUp();
    if (unit.out === 0) void this.#finish(unit);
  }

  async #finish(unit: Unit): Promise<void> {
    const key = keyOf(unit.home.channel, unit.partition);
    if (unit.isReading) await this.#host.written(unit);
    if (!this.#leaving.has(unit) || this.units.get(key) !== unit) return;
    this.#end(key, unit);
    this.#host.released(this.name);
    // Somebody may want it again by now.
    this.look(unit.home.channel);
  }

  #end(key: string, unit: Unit): void {
    this.#leaving.delete(unit);
    this.units.delete(key);
    unit.end();
    this.#host.unread(unit);
  }
}

/** How a unit is named among the processes. */
export function keyOf(channel: string, partition: number): string {
  return `${channel} ${partition}`;
}
