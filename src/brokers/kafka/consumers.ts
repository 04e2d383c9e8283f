import type { Commit, SubscriptionSpec } from "../../core/broker.ts";
import type { Deadline } from "../../core/deadlines.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import type { MemorySubscription } from "../memory/subscription.ts";
import type { Timers } from "../shared/timers.ts";
import type { Catalog } from "./catalog.ts";
import type { Committer } from "./committer.ts";
import type { Home } from "./channels.ts";
import type { KafkaEntry } from "./entry.ts";
import { answered, closedError, KAFKA } from "./errors.ts";
import type { Fetcher } from "./fetcher.ts";
import { Group, keyOf, type GroupHost } from "./group.ts";
import type { MemberInfo } from "./members.ts";
import { Membership } from "./membership.ts";
import { offsetsGroup } from "./names.ts";
import type { Places } from "./places.ts";
import { fromOf, type Held } from "./report.ts";
import { Statements } from "./statements.ts";
import { startOfUnit } from "./start-from.ts";
import { KafkaSubscription, type KafkaSubscriptionHost } from "./subscription.ts";
import type { Unit } from "./unit.ts";

const RETRY_MS = 50;

/** What groups are read with. */
export interface ConsumerParts {
  readonly catalog: Catalog;
  readonly committer: Committer;
  readonly places: Places;
  readonly fetcher: Fetcher;
  readonly timers: Timers;
  startWait(subscription: MemorySubscription, waitMs: number): Deadline<MemorySubscription> | undefined;
  endWait(deadline: Deadline<MemorySubscription>): void;
  /** Resolves when a commit has taken effect. */
  commit(unit: Unit, commit: Commit): Promise<void>;
}

/** The groups of this process: who subscribes, what is handled here, and what the other processes are told of it. */
export class Consumers {
  readonly #parts: ConsumerParts;
  readonly #membership: Membership;
  readonly #groups = new Map<string, Group>();
  readonly #interest = new PatternTrie<Group>();
  readonly #subscriptions = new Set<KafkaSubscription>();
  readonly #groupHost: GroupHost;
  readonly #subscriptionHost: KafkaSubscriptionHost;
  #closed = false;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    const { cluster, directory } = parts.catalog;
    this.#membership = new Membership(cluster, new Statements(directory, cluster.clock), {
      info: () => this.#info(),
      agreed: () => this.#agreed(),
      disowned: () => {
        for (const group of this.#groups.values()) group.disown();
      },
    });
    this.#groupHost = this.#makeGroupHost();
    this.#subscriptionHost = this.#makeSubscriptionHost();
  }

  /** Resolves once this process is one of those that agree on who handles what. */
  joined(): Promise<void> {
    return this.#membership.joined();
  }

  /** One member more of a group that is written down already. */
  add(group: string, { pattern, prefetch, ordering }: SubscriptionSpec): KafkaSubscription {
    const state = this.#group(group);
    const isNew = !state.queues.has(pattern);
    const queue = state.join(pattern, ordering === "strict");
    if (isNew) this.#interest.add(pattern, state);
    const subscription = new KafkaSubscription({ group, pattern, prefetch }, queue, this.#subscriptionHost);
    this.#subscriptions.add(subscription);
    if (isNew) this.#say(group);
    return subscription;
  }

  /** A channel is there, or its entry is another now. */
  appeared(channel: string): void {
    for (const group of this.#interest.match(channel)) {
      group.look(channel);
      for (const unit of group.units.values())
        if (unit.home.channel === channel)
          unit.purge(fromOf(this.#parts.catalog.directory, channel, unit.partition));
    }
  }

  gone(channel: string): void {
    for (const group of this.#groups.values()) group.forget(channel);
  }

  /** A group was forgotten: its subscriptions of a pattern get nothing more. */
  dropped(pattern: string, name: string): void {
    const group = this.#groups.get(name);
    if (group === undefined) return;
    for (const subscription of this.#subscriptions)
      if (subscription.group === name && subscription.pattern === pattern) subscription.end();
    if (!group.queues.has(pattern)) return;
    group.drop(pattern);
    this.#interest.remove(pattern, group);
  }

  /** What a group has of a channel that lies in one partition, when it is handled here. */
  held(group: string, { channel }: Home, partition: number): Held | undefined {
    const unit = this.#groups.get(group)?.units.get(keyOf(channel, partition));
    if (unit?.isReading !== true || !unit.isOurs) return undefined;
    const unreadFrom = this.#parts.fetcher.isBehind(unit) ? unit.position : undefined;
    return { unacknowledged: unit.unacknowledged, out: unit.out, partition, unreadFrom };
  }

  /** Writes every place again. */
  renew(): void {
    for (const group of this.#groups.values())
      for (const unit of group.units.values()) this.#parts.committer.mark(unit);
    this.#parts.committer.now();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.end();
    await this.#parts.committer.settled();
    this.#parts.committer.close();
    await this.#membership.close();
  }

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, (group = new Group(name, this.#groupHost)));
    return group;
  }

  #over(subscription: KafkaSubscription): void {
    this.#subscriptions.delete(subscription);
    const group = this.#groups.get(subscription.group);
    if (group === undefined) return;
    group.leave(subscription);
    if (!group.queues.has(subscription.pattern)) {
      this.#interest.remove(subscription.pattern, group);
      if (this.#membership.members?.isElsewhere(group.name) === true) this.#membership.rejoin();
    }
    if (group.isIdle) this.#groups.delete(group.name);
  }

  /** The others hear of it, if there are any who must. */
  #say(group: string): void {
    const { members } = this.#membership;
    if (members === undefined) this.#membership.start();
    else if (!members.isAlone && (members.isElsewhere(group) || !members.hasSaid(group)))
      this.#membership.rejoin();
  }

  #info(): MemberInfo {
    const { members } = this.#membership;
    const groups: Record<string, readonly string[]> = {};
    const held: Record<string, readonly string[] | "*"> = {};
    for (const group of this.#groups.values()) {
      if (group.queues.size > 0) groups[group.name] = group.patterns;
      if (group.units.size === 0) continue;
      const isSole = members !== undefined && !members.isElsewhere(group.name);
      held[group.name] = isSole ? "*" : [...group.units.keys()];
    }
    return { groups, held };
  }

  #agreed(): void {
    const { members } = this.#membership;
    if (members === undefined) return;
    for (const group of this.#groups.values()) group.lookAtAll();
    if (members.isAlone) return;
    const isUnsaid = [...this.#groups.values()].some(
      ({ name, queues }) => queues.size > 0 && !members.hasSaid(name),
    );
    if (isUnsaid || members.contested.length > 0) this.#membership.rejoin();
  }

  #isOurs(group: string, channel: string, partition: number): boolean {
    const { members, isJoining } = this.#membership;
    if (members === undefined) return false;
    // A new one that is not said yet: whoever comes now would not hear of it.
    if (members.isAlone && isJoining && !members.hasSaid(group))
      return this.#groups.get(group)?.units.has(keyOf(channel, partition)) === true;
    return members.isMine(group, channel, partition);
  }

  #makeSubscriptionHost(): KafkaSubscriptionHost {
    return {
      startWait: (subscription, waitMs) => this.#parts.startWait(subscription, waitMs),
      endWait: (deadline) => this.#parts.endWait(deadline),
      settle: (entry, settlement) => {
        const one = entry as KafkaEntry<Unit>;
        one.owner.settle(one, settlement);
      },
      settled: (queue) => {
        if (queue.canServe) queue.serve();
      },
      left: () => {},
      closed: () => (this.#closed ? closedError() : undefined),
      write: () => this.#parts.committer.now(),
      written: (units) => (this.#closed ? Promise.resolve() : this.#parts.committer.written(units)),
      commit: (unit, commit) => this.#parts.commit(unit, commit),
      over: (subscription) => this.#over(subscription),
    };
  }

  #makeGroupHost(): GroupHost {
    return {
      unit: this.#makeUnitHost(),
      kafkaGroup: (group, home) =>
        offsetsGroup(
          this.#parts.catalog.cluster.settings.namespace,
          group,
          home.shared ? home.channel : undefined,
        ),
      lost: (group, { home }, count) => emit("dataLost", () => lossOf(home.channel, group, count)),
      channelsOf: (pattern) => this.#parts.catalog.channelsOf(pattern),
      homeOf: (channel) => this.#parts.catalog.channels.homeOf(channel),
      partitionsOf: (home) => this.#parts.catalog.partitionsOf(home),
      isOurs: (group, channel, partition) => this.#isOurs(group, channel, partition),
      load: (group, unit) => this.#load(group, unit),
      fromOf: (channel, partition) => fromOf(this.#parts.catalog.directory, channel, partition),
      onceBefore: (unit) =>
        this.#parts.catalog.onceBefore(unit.home, { partition: unit.partition, offset: unit.position }),
      read: (unit) => this.#parts.fetcher.add(unit),
      unread: (unit) => this.#parts.fetcher.remove(unit),
      written: async (unit) => {
        this.#parts.committer.mark(unit);
        await this.#parts.committer.written([unit]).catch(() => undefined);
      },
      released: (name) => {
        if (this.#membership.members?.isElsewhere(name) === true) this.#membership.rejoin();
        const group = this.#groups.get(name);
        if (group?.isIdle === true) this.#groups.delete(name);
      },
    };
  }

  #makeUnitHost(): GroupHost["unit"] {
    return {
      now: () => this.#parts.catalog.cluster.clock.now(),
      after: (delayMs, task) => this.#parts.timers.after(delayMs, task),
      placeOf: (reader) => this.#parts.fetcher.placeOf(reader),
      isErased: (channel, partition, offset) =>
        this.#parts.catalog.directory.isErased(channel, partition, offset),
      changed: (unit) => {
        this.#parts.committer.mark(unit);
      },
      hungry: (unit) => this.#parts.fetcher.wake(unit),
      goBack: (unit, offset) => this.#parts.fetcher.goBack(unit, offset),
      serve: (queue) => {
        if (queue.canServe) queue.serve();
      },
      topicId: (topic) => this.#parts.catalog.cluster.topic(topic)?.id ?? "",
      readAhead: this.#parts.catalog.cluster.settings.readAhead,
      dedupeWindowMs: this.#parts.catalog.cluster.settings.dedupeWindowMs,
    };
  }

  /** Where a unit begins; asked until Kafka says it. */
  async #load(group: string, unit: Unit): Promise<{ readonly offset: number; readonly metadata: string }> {
    for (;;) {
      try {
        const topic = await this.#parts.catalog.channels.topicOf(unit.home);
        // Without it nobody knows whether what was committed is of this one.
        if (topic === undefined)
          throw answered(KAFKA.UNKNOWN_TOPIC_OR_PARTITION, "UNKNOWN_TOPIC_OR_PARTITION");
        const committed = await this.#parts.places.load(unit.kafkaGroup, unit.topic, [unit.partition]);
        return startOfUnit(
          this.#parts.catalog.directory,
          {
            group,
            channel: unit.home.channel,
            topic: unit.topic,
            partition: unit.partition,
            topicId: topic.id,
          },
          committed.get(unit.partition),
        );
      } catch (error) {
        if (this.#closed || unit.isEnded) return { offset: 0, metadata: "" };
        emit("fault", () => ({ agent: "", error: toHeraldError(error), where: "kafka offsets" }));
        await new Promise<void>((resolve) => void this.#parts.timers.after(RETRY_MS, resolve));
      }
    }
  }
}

function lossOf(channel: string, group: string, count: number | null): object {
  const message = `Messages of '${channel}' went before group '${group}' had read them: raise retentionMs, or let it read faster.`;
  return { broker: "kafka", channel, group, count, error: new HeraldError("DATA_LOSS_DETECTED", message) };
}
