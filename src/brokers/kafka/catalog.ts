import { isWildcard, matchPattern } from "../../core/pattern.ts";
import type { Timers } from "../shared/timers.ts";
import type { Channels, Home } from "./channels.ts";
import type { Cluster } from "./cluster.ts";
import type { Directory } from "./directory.ts";
import { onceBefore, type Once } from "./once.ts";

const RETRY_MS = 50;

/** Which channels there are, and in which partitions they lie, for those who read them. */
export class Catalog {
  readonly cluster: Cluster;
  readonly directory: Directory;
  readonly channels: Channels;
  readonly #timers: Timers;
  readonly #finding = new Set<string>();
  /** Told of a channel whose partitions are known now. */
  onFound: (channel: string) => void = () => {};

  constructor(
    { cluster, directory, channels }: Pick<Catalog, "cluster" | "directory" | "channels">,
    timers: Timers,
  ) {
    this.cluster = cluster;
    this.directory = directory;
    this.channels = channels;
    this.#timers = timers;
  }

  /** Channels that exist and are covered by a pattern. */
  channelsOf(pattern: string): readonly string[] {
    if (!isWildcard(pattern)) return this.#exists(pattern) ? [pattern] : [];
    return [...this.directory.channels.keys()].filter((name) => matchPattern(pattern, name));
  }

  /** Partitions of a home. While its topic is not known they are none; it is asked for, and told of then. */
  partitionsOf(home: Home): readonly number[] {
    const partitions = this.channels.partitionsOf(home);
    if (partitions.length === 0) void this.#find(home);
    return partitions;
  }

  /** What was stored of late before a place, where repeats are to be recognised. Asked until Kafka says it. */
  async onceBefore(
    home: Home,
    place: { readonly partition: number; readonly offset: number },
  ): Promise<Once | undefined> {
    while (this.directory.channels.get(home.channel)?.once === true && !this.cluster.isClosed) {
      try {
        return await onceBefore(this.cluster, home, place);
      } catch {
        await this.#timers.pause(RETRY_MS).over;
      }
    }
    return undefined;
  }

  #exists(channel: string): boolean {
    return this.directory.channels.has(channel) || this.channels.isReply(channel);
  }

  async #find(home: Home): Promise<void> {
    const { channel } = home;
    if (this.#finding.has(channel)) return;
    this.#finding.add(channel);
    while (this.#exists(channel) && !this.cluster.isClosed) {
      const topic = await this.channels.topicOf(home).catch(() => undefined);
      if (topic !== undefined) break;
      if (this.channels.isReply(channel)) await this.channels.ensure(channel).catch(() => undefined);
      await this.#timers.pause(RETRY_MS).over;
    }
    this.#finding.delete(channel);
    if (this.channels.partitionsOf(home).length > 0) this.onFound(channel);
  }
}
