import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { checkChannel, isWildcard, matchPattern } from "../../core/pattern.ts";
import type { Home } from "./channels.ts";
import { KAFKA, kafkaError, responseOf } from "./errors.ts";
import type { Fetched } from "./fetched.ts";
import { offsetsGroup } from "./names.ts";
import { earliestOf, endsOf, latestOf, offsetsAt, type OffsetsByPartition } from "./offsets.ts";
import { onceBefore } from "./once.ts";
import { comparePlaces, parsePosition, positionOf, type Place } from "./position.ts";
import { depthOf, fromOf } from "./report.ts";
import type { Runtime } from "./runtime.ts";
import { scan } from "./scan.ts";

const TOPIC = 2;
const SET = 0 as const;
const TRIES = 40;
const PAUSE_MS = 25;

/** Looks after the channels of one namespace. */
export class KafkaAdmin implements BrokerAdmin {
  readonly #open: () => Runtime;

  constructor(open: () => Runtime) {
    this.#open = open;
  }

  list(): Promise<readonly string[]> {
    return guard(() => this.#open().names());
  }

  /** A channel that shares its topic is kept as long as that. */
  declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    return guard(async () => {
      checkChannel(channel);
      const { channels, cluster } = this.#open();
      const home = await channels.ensure(channel);
      if (options.retentionMs === undefined || home.shared) return;
      const value = String(Math.max(1, Math.round(options.retentionMs)));
      const configs = [{ name: "retention.ms", value, configOperation: SET }];
      await cluster.any(
        cluster.kafka.incrementalAlterConfigsV1.api,
        [{ resourceType: TOPIC, resourceName: home.topic, configs }],
        false,
      );
    });
  }

  remove(channel: string): Promise<void> {
    return guard(async () => {
      const { channels, cluster, directory } = this.#open();
      checkChannel(channel);
      const home = channels.homeOf(channel);
      if (directory.channels.has(channel)) await directory.put([directory.putChannel(channel, null)]);
      if (home.shared) return;
      try {
        const topics = [{ name: home.topic }];
        await cluster.any(cluster.kafka.deleteTopicsV6.api, topics, cluster.settings.requestTimeoutMs);
      } catch (error) {
        const response = responseOf(error) as
          | { readonly responses: readonly { readonly errorCode: number }[] }
          | undefined;
        if (response?.responses[0]?.errorCode !== KAFKA.UNKNOWN_TOPIC_OR_PARTITION) throw error;
      }
      for (let tries = 0; tries < TRIES; tries++) {
        await cluster.refresh([home.topic]);
        if (cluster.topic(home.topic) === undefined) return;
        await new Promise<void>((resolve) => void cluster.clock.setTimer(PAUSE_MS, resolve));
      }
    });
  }

  purge(channel: string): Promise<number> {
    return guard(async () => {
      const runtime = this.#open();
      const { channels, cluster, directory } = runtime;
      const entry = directory.channels.get(channel);
      if (entry === undefined) return 0;
      const home = channels.homeOf(channel);
      if ((await channels.topicOf(home)) === undefined) return 0;
      const [starts, ends] = await Promise.all([
        earliestOf(cluster, home.topic),
        latestOf(cluster, home.topic),
      ]);
      const count = await depthOf(runtime, home, { starts, ends });
      const partitions = channels.partitionsOf(home);
      const from = Object.fromEntries(
        partitions.map((partition) => [String(partition), ends.get(partition) ?? 0]),
      );
      // What was erased goes with what it was of.
      const erased = [...directory.erasedOf(channel)].map(
        (place) => [`e/${channel} ${place}`, null] as const,
      );
      // Who reads must know first that this is no loss.
      await directory.put([directory.putChannel(channel, { ...entry, from }), ...erased]);
      if (!home.shared) await this.#truncate(home, ends);
      return count;
    });
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return guard(async () => {
      const { channels, cluster, directory } = this.#open();
      if (options.limit <= 0 || !directory.channels.has(channel)) return [];
      const home = channels.homeOf(channel);
      if ((await channels.topicOf(home)) === undefined) return [];
      const after = options.after === undefined ? undefined : parsePosition(options.after);
      const [starts, ends] = await Promise.all([
        earliestOf(cluster, home.topic),
        latestOf(cluster, home.topic),
      ]);
      const later =
        after === undefined ? starts : await offsetsAt(cluster, home.topic, Math.max(0, after.storedAt));
      const found = await Promise.all(
        channels.partitionsOf(home).map((partition) => {
          const start = after?.partition === partition ? after.offset + 1 : (later.get(partition) ?? 0);
          const from = Math.max(start, starts.get(partition) ?? 0, fromOf(directory, channel, partition));
          return this.#some(home, { partition, from, to: ends.get(partition) ?? 0 }, after, options.limit);
        }),
      );
      return found
        .flat()
        .toSorted(comparePlaces)
        .slice(0, options.limit)
        .map((record) => ({
          envelope: record.envelope(channel),
          position: positionOf(record.partition, record.offset, record.storedAt),
        }));
    });
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return guard(async () => {
      const { channels, cluster, directory } = this.#open();
      if (!directory.channels.has(channel)) return 0;
      const { topic } = channels.homeOf(channel);
      const places = new Set<string>();
      for (const position of positions) {
        const place = parsePosition(position);
        if (place === undefined || directory.isErased(channel, place.partition, place.offset)) continue;
        const { start, end } = await endsOf(cluster, topic, place.partition);
        const from = Math.max(start, fromOf(directory, channel, place.partition));
        if (place.offset >= from && place.offset < end) places.add(`${place.partition}-${place.offset}`);
      }
      await directory.erase(channel, [...places]);
      return places.size;
    });
  }

  dropGroup(pattern: string, group: string): Promise<void> {
    return guard(async () => {
      const { channels, cluster, directory } = this.#open();
      if (!directory.groups.has(`${pattern} ${group}`)) return;
      await directory.dropGroup(pattern, group);
      const others = [...directory.entriesOf(group)];
      const names = isWildcard(pattern)
        ? [...directory.channels.keys()].filter((name) => matchPattern(pattern, name))
        : [pattern];
      for (const name of names) {
        if (others.some((entry) => matchPattern(entry.pattern, name))) continue;
        const home = channels.homeOf(name);
        if ((await channels.topicOf(home)) === undefined) continue;
        const kafkaGroup = offsetsGroup(cluster.settings.namespace, group, home.shared ? name : undefined);
        await this.#forgetOffsets(kafkaGroup, home);
      }
    });
  }

  async #forgetOffsets(kafkaGroup: string, home: Home): Promise<void> {
    const { channels, cluster } = this.#open();
    const partitions = channels.partitionsOf(home).map((partitionIndex) => ({ partitionIndex }));
    const node = await cluster.coordinator(kafkaGroup);
    try {
      const topics = [{ name: home.topic, partitions }];
      await cluster.call(node, "main", cluster.kafka.offsetDeleteV0.api, kafkaGroup, topics);
    } catch (error) {
      const code = (responseOf(error) as { readonly errorCode: number } | undefined)?.errorCode;
      if (code !== KAFKA.GROUP_ID_NOT_FOUND) throw error;
    }
  }

  async #some(
    home: Home,
    part: { readonly partition: number; readonly from: number; readonly to: number },
    after: Place | undefined,
    limit: number,
  ): Promise<readonly Fetched[]> {
    const { cluster, directory } = this.#open();
    const found: Fetched[] = [];
    const isOnce = directory.channels.get(home.channel)?.once === true;
    const once = isOnce
      ? await onceBefore(cluster, home, { partition: part.partition, offset: part.from })
      : undefined;
    await scan(cluster, { topic: home.topic, ...part }, (record) => {
      if (home.shared && record.channel !== home.channel) return true;
      if (once?.isRepeat(record) === true) return true;
      if (after !== undefined && comparePlaces(record, after) <= 0) return true;
      if (directory.isErased(home.channel, record.partition, record.offset)) return true;
      found.push(record);
      return found.length < limit;
    });
    return found;
  }

  async #truncate(home: Home, ends: OffsetsByPartition): Promise<void> {
    const { cluster } = this.#open();
    const byNode = Map.groupBy(ends, ([partition]) => cluster.leader(home.topic, partition) ?? -1);
    for (const [node, parts] of byNode) {
      const partitions = parts.map(([partitionIndex, offset]) => ({
        partitionIndex,
        offset: BigInt(offset),
      }));
      const topics = [{ name: home.topic, partitions }];
      await cluster.call(
        node,
        "main",
        cluster.kafka.deleteRecordsV2.api,
        topics,
        cluster.settings.requestTimeoutMs,
      );
    }
  }
}

async function guard<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw kafkaError(error);
  }
}
