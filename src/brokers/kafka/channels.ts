import { PatternTrie } from "../../core/pattern-trie.ts";
import type { Envelope } from "../../core/envelope.ts";
import { checkChannel } from "../../core/pattern.ts";
import type { Cluster, Topic } from "./cluster.ts";
import type { Directory } from "./directory.ts";
import { notConnected } from "./errors.ts";
import { hashOf, inboxTopic, repliesTopic, sharedTopic, topicOf } from "./names.ts";
import { latestOf } from "./offsets.ts";
import { channelConfig, createTopics, type NewTopic } from "./topics.ts";

/** Where a channel lies. */
export interface Home {
  readonly channel: string;
  readonly topic: string;
  /** Its messages are among those of others. */
  readonly shared: boolean;
}

const REPLIES = "reply.#";
/** Nobody waits longer for a reply. */
const REPLIES_MS = 3_600_000;

/** Where channels lie, and how they come to be there. */
export class Channels {
  readonly #cluster: Cluster;
  readonly #directory: Directory;
  readonly #shared = new PatternTrie<true>();
  readonly #replies = new PatternTrie<true>();
  readonly #ready = new Map<string, Home>();
  readonly #making = new Map<string, Promise<Home>>();
  #queue: {
    readonly channel: string;
    readonly resolve: (home: Home) => void;
    readonly reject: (error: unknown) => void;
  }[] = [];

  constructor(cluster: Cluster, directory: Directory) {
    this.#cluster = cluster;
    this.#directory = directory;
    for (const pattern of cluster.settings.shared) this.#shared.add(pattern, true);
    this.#replies.add(REPLIES, true);
  }

  /** True for the channels of replies: they are kept for an hour, and in no list. */
  isReply(channel: string): boolean {
    return this.#replies.match(channel).length > 0;
  }

  /** The home of a channel that can be published to at once. */
  ready(channel: string): Home | undefined {
    return this.#ready.get(channel);
  }

  /** The home of a channel, whether it exists or not. */
  homeOf(channel: string): Home {
    const { namespace } = this.#cluster.settings;
    if (this.isReply(channel)) return { channel, topic: repliesTopic(namespace), shared: true };
    const known = this.#directory.channels.get(channel);
    const own = topicOf(namespace, channel);
    const shared = known?.shared ?? this.#shared.match(channel).length > 0;
    if (shared || own === undefined) return { channel, topic: sharedTopic(namespace), shared: true };
    return { channel, topic: own, shared: false };
  }

  /** The topic of a channel, asked for when it is not known. Undefined: there is none. */
  async topicOf(home: Home): Promise<Topic | undefined> {
    const known = this.#cluster.topic(home.topic);
    if (known !== undefined) return known;
    await this.#cluster.refresh([home.topic]);
    return this.#cluster.topic(home.topic);
  }

  /** The partitions of a topic that hold messages of a channel. Empty while the topic is not known. */
  partitionsOf(home: Home): readonly number[] {
    const count = this.#cluster.topic(home.topic)?.leaders.length ?? 0;
    if (count === 0) return [];
    return home.shared ? [hashOf(home.channel) % count] : Array.from({ length: count }, (_none, at) => at);
  }

  /** The partition of a message. */
  partitionOf(home: Home, { key, id }: Envelope, once: boolean): number {
    const count = this.#cluster.topic(home.topic)?.leaders.length ?? 1;
    if (home.shared || (key === undefined && this.#cluster.settings.keyless === "ordered"))
      return hashOf(home.channel) % count;
    // The same id must come to the same partition.
    if (key === undefined && once) return hashOf(id) % count;
    if (key === undefined) return (this.#turn = (this.#turn + 1) % count);
    // As other clients do it: a message written by them lies beside those of its key.
    return (this.#cluster.kafka.murmur2(key, false) & 0x7fffffff) % count;
  }

  #turn = 0;

  /** Makes a channel unless it is there; resolves when every process that reads on will see it. Throws `INVALID_CHANNEL`. */
  ensure(channel: string): Promise<Home> {
    const ready = this.#ready.get(channel);
    if (ready !== undefined) return Promise.resolve(ready);
    checkChannel(channel);
    const known = this.#making.get(channel);
    if (known !== undefined) return known;
    const made = new Promise<Home>((resolve, reject) => {
      if (this.#queue.push({ channel, resolve, reject }) === 1) setImmediate(() => void this.#makeAll());
    }).finally(() => this.#making.delete(channel));
    this.#making.set(channel, made);
    return made;
  }

  /** As {@link ensure}; and whoever reads it recognises ids that are stored a second time. */
  async ensureOnce(channel: string): Promise<Home> {
    const home = await this.ensure(channel);
    const entry = this.#directory.channels.get(channel);
    if (entry !== undefined && entry.once !== true)
      await this.#directory.put([this.#directory.putChannel(channel, { ...entry, once: true })]);
    this.#once.add(channel);
    return home;
  }

  /** The home of a channel that can be published to at once, with ids to be recognised. */
  readyOnce(channel: string): Home | undefined {
    return this.#once.has(channel) ? this.#ready.get(channel) : undefined;
  }

  readonly #once = new Set<string>();

  /** Makes a topic again that somebody has deleted while it was written to. */
  async repair(topic: string): Promise<void> {
    if (this.#repairing.has(topic)) return;
    this.#repairing.add(topic);
    try {
      await createTopics(this.#cluster, [this.#planOf(topic)]);
    } catch {
      // It is asked for again as long as something waits for it.
    } finally {
      this.#repairing.delete(topic);
    }
  }

  readonly #repairing = new Set<string>();

  /** The channel must be made again before it is published to. */
  doubt(channel: string): void {
    const home = this.#ready.get(channel);
    this.#ready.delete(channel);
    this.#once.delete(channel);
    if (home?.shared === false) this.#cluster.forget(home.topic);
  }

  async #makeAll(): Promise<void> {
    const queue = this.#queue;
    this.#queue = [];
    try {
      const homes = queue.map(({ channel }) => this.homeOf(channel));
      await this.#makeTopics(homes);
      const fresh = homes.filter(
        ({ channel }) => !this.isReply(channel) && !this.#directory.channels.has(channel),
      );
      await this.#announce(fresh);
      for (const [at, { resolve }] of queue.entries()) {
        const home = homes[at] as Home;
        this.#ready.set(home.channel, home);
        resolve(home);
      }
    } catch (error) {
      for (const { reject } of queue) reject(error);
    }
  }

  async #makeTopics(homes: readonly Home[]): Promise<void> {
    const unknown = [...new Set(homes.map(({ topic }) => topic))].filter(
      (topic) => this.#cluster.topic(topic) === undefined,
    );
    if (unknown.length === 0) return;
    await this.#cluster.refresh(unknown);
    const missing = unknown.filter((topic) => this.#cluster.topic(topic) === undefined);
    if (missing.length > 0)
      await createTopics(
        this.#cluster,
        missing.map((topic) => this.#planOf(topic)),
      );
    if (missing.some((topic) => this.#cluster.topic(topic) === undefined)) throw notConnected();
  }

  #planOf(topic: string): NewTopic {
    const { namespace, partitions, sharedPartitions, retentionMs, maxBodyBytes } = this.#cluster.settings;
    const isReplies = topic === repliesTopic(namespace);
    const isShared = isReplies || topic === sharedTopic(namespace);
    const own = topic === inboxTopic(namespace) ? 1 : partitions;
    return {
      name: topic,
      partitions: isShared ? sharedPartitions : own,
      config: channelConfig(isReplies ? REPLIES_MS : retentionMs, maxBodyBytes),
    };
  }

  async #announce(homes: readonly Home[]): Promise<void> {
    // What the shared topic held before is not of this channel.
    const shared = homes.some((home) => home.shared)
      ? await latestOf(this.#cluster, sharedTopic(this.#cluster.settings.namespace))
      : new Map<number, number>();
    const entries = homes.map((home) => {
      const [partition = 0] = this.partitionsOf(home);
      const from = home.shared ? { [String(partition)]: shared.get(partition) ?? 0 } : {};
      return this.#directory.putChannel(home.channel, { shared: home.shared, from });
    });
    await this.#directory.put(entries);
  }
}
