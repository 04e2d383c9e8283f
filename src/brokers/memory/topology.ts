import type { ChannelReport, SubscriptionSpec } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { checkChannel, matchPattern } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { ChannelLog, type Account } from "./channel-log.ts";
import { GroupQueue } from "./group-queue.ts";
import type { MemorySettings } from "./options.ts";

/** One channel: what it retains, and the queues that get its messages. */
export interface Channel {
  readonly name: string;
  readonly log: ChannelLog;
  route: readonly GroupQueue[];
  /** The state of the topology that `route` was found in. */
  routeVersion: number;
}

/** Replies are for one waiting caller: nobody replays them. */
const TRANSIENT_PREFIX = "reply.";
const NOBODY: readonly GroupQueue[] = Object.freeze([]);

/** Channels, queues, and which queue gets what. */
export class Topology {
  readonly channels = new Map<string, Channel>();
  /** Channels that keep what they hold by its age. */
  readonly #retained = new Set<Channel>();
  readonly #queues = new Map<string, GroupQueue>();
  readonly #broadcasts = new Set<GroupQueue>();
  readonly #trie = new PatternTrie<GroupQueue>();
  readonly #settings: MemorySettings;
  readonly #onReplay: Account;
  #version = 0;
  /** Whose turn it is to let go of what it retains. */
  #turn = this.channels.values();

  /** `onReplay` is told of every change of what channels retain for replay. */
  constructor(settings: MemorySettings, onReplay: Account) {
    this.#settings = settings;
    this.#onReplay = onReplay;
  }

  /** The channel of this name, made when it is new. Rejects with `INVALID_CHANNEL`, or `OVERLOADED` over `maxChannels`. */
  channel(name: string): Channel {
    const known = this.channels.get(name);
    if (known !== undefined) return known;
    checkChannel(name);
    const isTransient = name.startsWith(TRANSIENT_PREFIX);
    const listeners = isTransient ? this.#trie.match(name) : NOBODY;
    const replay = isTransient ? 0 : this.#settings.replay;
    const channel: Channel = {
      name,
      log: new ChannelLog(replay, this.#onReplay),
      route: [],
      routeVersion: -1,
    };
    // A reply that nobody waits for leaves no trace, and one that somebody waits for finds room beside any flood of names.
    if (isTransient && listeners.length === 0) return channel;
    const isOwned = listeners.some(({ pattern }) => pattern === name);
    if (!isOwned && this.channels.size >= this.#settings.maxChannels)
      throw tooManyChannels(this.#settings.maxChannels);
    this.channels.set(name, channel);
    return channel;
  }

  /** Keeps what a channel holds for this long, and counts it with `account`. */
  retain(name: string, retentionMs: number, account: Account): void {
    const channel = this.channel(name);
    channel.log.retain(retentionMs, account);
    this.#retained.add(channel);
  }

  /** Forgets a channel that is empty. */
  forget(name: string): void {
    const channel = this.channels.get(name);
    if (channel === undefined) return;
    this.channels.delete(name);
    this.#retained.delete(channel);
  }

  /** Lets go of what channels have kept for long enough. */
  expire(now: number): void {
    for (const { log } of this.#retained) log.expire(now);
  }

  /**
   * Lets go of one retained envelope: the oldest of the channel that has just grown, or else of the next channel in turn.
   * False when none retains any. Dead letters are kept for their time, whatever replay costs.
   */
  forgetReplay(grown: Channel): boolean {
    if (grown.log.retentionMs === undefined && grown.log.length > 1) return grown.log.dropOldest();
    for (let left = this.channels.size; left >= 0; left--) {
      const { value: channel, done } = this.#turn.next();
      // A new round: the names that were emptied in the last one are not looked at again before its end.
      if (done === true) this.#turn = this.channels.values();
      else if (channel.log.retentionMs === undefined && channel.log.dropOldest()) return true;
    }
    return false;
  }

  /** The queues that get what is published on a channel: each broadcast, and each group once. */
  route(channel: Channel): readonly GroupQueue[] {
    if (channel.routeVersion !== this.#version) {
      channel.route = this.#findRoute(channel.name);
      channel.routeVersion = this.#version;
    }
    return channel.route;
  }

  /**
   * The queue a subscription joins; `isNew` when nobody had subscribed to it before. Rejects with `CONFLICT` when the group
   * reads the pattern with the other ordering and still has something to read, or somebody who does.
   */
  join(spec: SubscriptionSpec): { readonly queue: GroupQueue; readonly isNew: boolean } {
    const { group, pattern } = spec;
    const strict = spec.ordering === "strict";
    const name = `${pattern} ${group}`;
    const known = group === null ? undefined : this.#queues.get(name);
    if (known !== undefined && known.strict === strict) return { queue: known, isNew: false };
    if (known !== undefined) this.#replace(known);
    const queue = new GroupQueue({ group, pattern, strict });
    if (group === null) this.#broadcasts.add(queue);
    else this.#queues.set(name, queue);
    this.#trie.add(pattern, queue);
    this.forgetRoutes();
    return { queue, isNew: true };
  }

  /** A queue that is idle may go, for one of the other ordering. */
  #replace(queue: GroupQueue): void {
    if (!queue.isIdle) throw otherOrdering(queue);
    this.#trie.remove(queue.pattern, queue);
  }

  /** The queue of a group under a pattern goes; undefined when there is none. */
  dropGroup(pattern: string, group: string): GroupQueue | undefined {
    const name = `${pattern} ${group}`;
    const queue = this.#queues.get(name);
    if (queue === undefined) return undefined;
    this.#queues.delete(name);
    this.#trie.remove(pattern, queue);
    this.forgetRoutes();
    return queue;
  }

  /** A broadcast queue goes with its subscription. */
  drop(queue: GroupQueue): void {
    this.#broadcasts.delete(queue);
    this.#trie.remove(queue.pattern, queue);
    const channel = this.channels.get(queue.pattern);
    if (channel !== undefined && channel.name.startsWith(TRANSIENT_PREFIX))
      this.channels.delete(channel.name);
    this.forgetRoutes();
  }

  /** Membership changed: which of a group's overlapping patterns gets a message may have changed too. */
  forgetRoutes(): void {
    this.#version++;
  }

  /** Channels that a pattern covers, among those that exist. */
  covered(pattern: string): Channel[] {
    return [...this.channels.values()].filter((channel) => matchPattern(pattern, channel.name));
  }

  /** Every queue under a pattern that covers the channel, also those that lose to another of their group. */
  queuesOf(channel: string): GroupQueue[] {
    return this.#trie.match(channel);
  }

  queues(): GroupQueue[] {
    return [...this.#queues.values(), ...this.#broadcasts];
  }

  report(channel: Channel): ChannelReport {
    const lags = new Map<string, { lag: number; unsettled: number }>();
    let deepest = channel.log.length;
    for (const queue of this.#trie.match(channel.name)) {
      const { lag, unsettled } = queue.tallyOf(channel.name);
      deepest = Math.max(deepest, lag);
      if (queue.group === null) continue;
      const sum = lags.get(queue.group) ?? { lag: 0, unsettled: 0 };
      lags.set(queue.group, { lag: sum.lag + lag, unsettled: sum.unsettled + unsettled });
    }
    const groups = [...lags].map(([group, numbers]) => ({ group, ...numbers }));
    return { channel: channel.name, depth: deepest, groups };
  }

  #findRoute(channel: string): readonly GroupQueue[] {
    const chosen = new Map<string, GroupQueue>();
    const route: GroupQueue[] = [];
    for (const queue of this.#trie.match(channel)) {
      if (queue.group === null) route.push(queue);
      else {
        const rival = chosen.get(queue.group);
        if (rival === undefined || (rival.members.size === 0 && queue.members.size > 0))
          chosen.set(queue.group, queue);
      }
    }
    return [...route, ...chosen.values()];
  }
}

function otherOrdering({ group, pattern, strict }: GroupQueue): HeraldError {
  const message = `Group '${group}' reads '${pattern}' with ordering '${strict ? "strict" : "relaxed"}': subscribe with the same ordering, or under another group.`;
  return new HeraldError("CONFLICT", message, {
    retryable: false,
    details: { field: "ordering", group, pattern },
  });
}

function tooManyChannels(maxChannels: number): HeraldError {
  const message = `The memory broker holds ${maxChannels} channels already: use fewer channel names, remove some, or raise maxChannels.`;
  return new HeraldError("OVERLOADED", message, { details: { maxChannels } });
}
