import { matchPattern, isWildcard } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import type { BroadcastSubscription } from "./broadcast.ts";
import type { ChannelGroup } from "./channel-group.ts";
import type { Lane } from "./keys.ts";
import type { Outbox } from "./outbox.ts";
import type { RedisSubscription } from "./subscription.ts";

/** One channel as this process uses it. */
export class Channel {
  readonly name: string;
  readonly base: string;
  /** What is on its way to each lane. */
  readonly outboxes = new Map<Lane, Outbox>();
  /** Groups of the channel that are known here, of other processes too: should its keys be deleted, they are made again. */
  readonly known = new Set<string>();
  /** Groups that this process reads. */
  readonly groups = new Map<string, ChannelGroup>();
  readonly broadcasts = new Set<BroadcastSubscription>();

  constructor(name: string, base: string) {
    this.name = name;
    this.base = base;
  }

  /** Its keys may be gone: its lanes are made again before anything is written to them. */
  doubt(): void {
    for (const outbox of this.outboxes.values()) outbox.doubt();
  }
}

/** Channels and subscriptions of one broker in this process. */
export class Topology {
  readonly channels = new Map<string, Channel>();
  readonly subscriptions = new Set<RedisSubscription>();
  readonly broadcasts = new Set<BroadcastSubscription>();
  readonly #durable = new PatternTrie<RedisSubscription>();
  readonly #broadcast = new PatternTrie<BroadcastSubscription>();
  readonly #ephemeral = new PatternTrie<string>();
  readonly #base: (channel: string) => string;

  constructor(ephemeral: readonly string[], base: (channel: string) => string) {
    this.#base = base;
    for (const pattern of ephemeral) this.#ephemeral.add(pattern, pattern);
  }

  /** True for a channel that goes over plain pub/sub. */
  isEphemeral(channel: string): boolean {
    return this.#ephemeral.match(channel).length > 0;
  }

  channel(name: string): Channel {
    let channel = this.channels.get(name);
    if (channel === undefined) this.channels.set(name, (channel = new Channel(name, this.#base(name))));
    return channel;
  }

  /** Forgets a channel that was removed; subscriptions stay, for when it comes again. */
  forget(name: string): void {
    const channel = this.channels.get(name);
    if (channel === undefined) return;
    this.channels.delete(name);
    for (const group of channel.groups.values())
      for (const subscription of this.subscriptions) subscription.detach(group);
    for (const broadcast of channel.broadcasts) broadcast.detach(name);
  }

  addDurable(subscription: RedisSubscription): void {
    this.subscriptions.add(subscription);
    this.#durable.add(subscription.pattern, subscription);
  }

  removeDurable(subscription: RedisSubscription): void {
    this.subscriptions.delete(subscription);
    this.#durable.remove(subscription.pattern, subscription);
  }

  addBroadcast(subscription: BroadcastSubscription): void {
    this.broadcasts.add(subscription);
    this.#broadcast.add(subscription.pattern, subscription);
  }

  removeBroadcast(subscription: BroadcastSubscription): void {
    this.broadcasts.delete(subscription);
    this.#broadcast.remove(subscription.pattern, subscription);
    for (const channel of this.channels.values()) channel.broadcasts.delete(subscription);
  }

  durableOn(channel: string): RedisSubscription[] {
    return this.#durable.match(channel);
  }

  broadcastOn(channel: string): BroadcastSubscription[] {
    return this.#broadcast.match(channel);
  }

  /** Wildcard patterns with their groups, as this process has subscribed to them. */
  wildcards(): { readonly pattern: string; readonly group: string }[] {
    return [...this.subscriptions].filter(({ pattern }) => isWildcard(pattern));
  }

  /** True when a subscription here reads more than the channels it knows by name. */
  get hasWildcards(): boolean {
    return this.wildcards().length > 0 || [...this.broadcasts].some(({ pattern }) => isWildcard(pattern));
  }

  covered(pattern: string, names: readonly string[]): string[] {
    return names.filter((name) => !this.isEphemeral(name) && matchPattern(pattern, name));
  }
}
