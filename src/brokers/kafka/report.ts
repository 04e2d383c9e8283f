import type { ChannelReport, GroupReport } from "../../core/broker.ts";
import type { Channels, Home } from "./channels.ts";
import type { Cluster } from "./cluster.ts";
import type { Committer } from "./committer.ts";
import type { Directory } from "./directory.ts";
import { offsetsGroup } from "./names.ts";
import { earliestOf, latestOf, type OffsetsByPartition } from "./offsets.ts";
import type { Places } from "./places.ts";
import { scan } from "./scan.ts";
import { startOfUnit } from "./start-from.ts";
import { decodeState } from "./unit-state.ts";

/** What reports are made from. */
export interface ReportParts {
  readonly cluster: Cluster;
  readonly channels: Channels;
  readonly directory: Directory;
  readonly committer: Committer;
  readonly places: Places;
  /** What a group has of a channel that shares its topic, when this process handles it. */
  held(group: string, home: Home): Held | undefined;
}

/** What one process knows of what it handles. */
export interface Held {
  /** Read and not acknowledged. */
  readonly unacknowledged: number;
  readonly out: number;
  readonly partition: number;
  /** The offset from which on it has not read, when it does not read along; undefined: it has read everything. */
  readonly unreadFrom: number | undefined;
}

/**
 * How channels stand; those that do not exist are left out. Without names it is all of them, and of those that share a topic only
 * what this process knows: the lag of the groups that it handles. The rest would have to be counted through the whole topic.
 */
export async function reportsOf(
  parts: ReportParts,
  names: readonly string[] | undefined,
): Promise<readonly ChannelReport[]> {
  const { channels, committer, directory } = parts;
  await committer.settled();
  const all = names ?? [...directory.channels.keys()];
  const reports = await Promise.all(
    all.map((name) => {
      const home = channels.homeOf(name);
      return names === undefined && home.shared ? glanceAt(parts, home) : reportOf(parts, home);
    }),
  );
  return reports.filter((report) => report !== undefined);
}

async function glanceAt(parts: ReportParts, home: Home): Promise<ChannelReport> {
  const { channel } = home;
  const groups = [...parts.directory.groupsOn(channel)].map(async (group): Promise<GroupReport> => {
    const held = parts.held(group, home);
    if (held === undefined) return { group, lag: null, unsettled: null };
    const { unacknowledged, out, partition, unreadFrom } = held;
    if (unreadFrom === undefined) return { group, lag: unacknowledged, unsettled: out };
    const to = (await latestOf(parts.cluster, home.topic)).get(partition) ?? 0;
    const unread = await countOf(parts, home, partition, { from: unreadFrom, to });
    return { group, lag: unacknowledged + unread, unsettled: out };
  });
  return { channel, depth: null, groups: await Promise.all(groups) };
}

/** How a channel stands, or undefined when it does not exist. */
async function reportOf(parts: ReportParts, home: Home): Promise<ChannelReport | undefined> {
  const { channels, cluster, directory } = parts;
  const { channel } = home;
  if (!directory.channels.has(channel)) return undefined;
  const topic = await channels.topicOf(home);
  if (topic === undefined) return undefined;
  const [starts, ends] = await Promise.all([earliestOf(cluster, home.topic), latestOf(cluster, home.topic)]);
  const groups = [...directory.groupsOn(channel)].map((group) =>
    groupOf(parts, home, group, { starts, ends, topicId: topic.id }),
  );
  return { channel, depth: await depthOf(parts, home, { starts, ends }), groups: await Promise.all(groups) };
}

type DepthParts = Pick<ReportParts, "cluster" | "channels" | "directory">;

interface Ends {
  readonly starts: OffsetsByPartition;
  readonly ends: OffsetsByPartition;
}

/** How many messages a channel holds. */
export async function depthOf(parts: DepthParts, home: Home, { starts, ends }: Ends): Promise<number> {
  const { channels, directory } = parts;
  let depth = 0;
  const erased = [...directory.erasedOf(home.channel)].map((place) => place.split("-").map(Number));
  for (const partition of channels.partitionsOf(home)) {
    const from = Math.max(starts.get(partition) ?? 0, fromOf(directory, home.channel, partition));
    const to = ends.get(partition) ?? 0;
    depth += await countOf(parts, home, partition, { from, to });
    for (const [at, offset = -1] of erased) if (at === partition && offset >= from && offset < to) depth--;
  }
  return Math.max(0, depth);
}

/** What lies before it is not of the channel. */
export function fromOf(directory: Directory, channel: string, partition: number): number {
  return directory.channels.get(channel)?.from[String(partition)] ?? 0;
}

/** How many messages of a channel lie between two offsets. Those of a shared topic have to be read. */
async function countOf(
  { cluster }: DepthParts,
  home: Home,
  partition: number,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<number> {
  if (!home.shared) return Math.max(0, to - from);
  let count = 0;
  await scan(cluster, { topic: home.topic, partition, from, to }, (record) => {
    if (record.channel === home.channel) count++;
    return true;
  });
  return count;
}

async function groupOf(
  parts: ReportParts,
  home: Home,
  group: string,
  { starts, ends, topicId }: Ends & { readonly topicId: string },
): Promise<GroupReport> {
  const { channels, cluster, directory, places } = parts;
  const partitions = channels.partitionsOf(home);
  const name = offsetsGroup(cluster.settings.namespace, group, home.shared ? home.channel : undefined);
  const committed = await places.load(name, home.topic, partitions);
  let lag = 0;
  let unsettled = 0;
  for (const partition of partitions) {
    const low = startOfUnit(
      directory,
      { group, channel: home.channel, topic: home.topic, partition, topicId },
      committed.get(partition),
    );
    const state = decodeState(low.offset, low.metadata);
    const fresh = Math.max(
      state?.fresh ?? low.offset,
      starts.get(partition) ?? 0,
      fromOf(directory, home.channel, partition),
    );
    lag +=
      (state?.notes.size ?? 0) +
      (await countOf(parts, home, partition, { from: fresh, to: ends.get(partition) ?? 0 }));
    unsettled += state?.out ?? 0;
  }
  return { group, lag, unsettled };
}
