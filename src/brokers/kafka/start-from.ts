import type { StartFrom } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { isWildcard, matchPattern } from "../../core/pattern.ts";
import type { Channels, Home } from "./channels.ts";
import type { Cluster } from "./cluster.ts";
import type { Committed } from "./committer.ts";
import type { Directory, TopicStart } from "./directory.ts";
import { latestOf, offsetsAt, type OffsetsByPartition } from "./offsets.ts";
import { parsePosition, type Place } from "./position.ts";
import { decodeState } from "./unit-state.ts";

/** By how much a caller's clock may run ahead of the cluster's, when a start is a time. */
const SKEW_MS = 5;

/** Where to start, read and checked. */
export type Start = "new" | "earliest" | { readonly place: Place } | { readonly time: number };

/** Throws `INVALID_ARGUMENT` for what is no place to start. */
export function startOf(from: StartFrom | undefined): Start {
  if (from === undefined || from === "new") return "new";
  if (from === "earliest") return "earliest";
  const { time, position } = (from ?? {}) as { readonly time?: unknown; readonly position?: unknown };
  if (typeof time === "number" && time >= 0) return { time: Math.max(0, time - SKEW_MS) };
  const place = typeof position === "string" ? parsePosition(position) : undefined;
  if (place !== undefined) return { place };
  const message = `from must be new, earliest, { position } of this Kafka broker or { time } in epoch milliseconds, not ${showValue(from)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}

/** What the starts of groups are found from. */
export interface StartParts {
  readonly cluster: Cluster;
  readonly channels: Channels;
  readonly directory: Directory;
}

/**
 * The offsets at which a new reader of a pattern begins, by topic: channels that share one begin together. What is not named is
 * read from its beginning.
 */
export async function startsOf(
  parts: StartParts,
  pattern: string,
  start: Start,
): Promise<Record<string, TopicStart>> {
  if (start === "earliest") return {};
  const { channels, directory } = parts;
  const names = isWildcard(pattern)
    ? [...directory.channels.keys()].filter((name) => matchPattern(pattern, name))
    : [pattern];
  const byTopic = Map.groupBy(
    names.map((name) => channels.homeOf(name)),
    ({ topic }) => topic,
  );
  const found = await Promise.all(
    [...byTopic].map(async ([topic, homes]) => [topic, await startIn(parts, homes, start)] as const),
  );
  return Object.fromEntries(found.flatMap(([topic, at]) => (at === undefined ? [] : [[topic, at]])));
}

/** Where channels that lie in one topic begin. */
async function startIn(
  { channels, cluster }: StartParts,
  homes: readonly Home[],
  start: Start,
): Promise<TopicStart | undefined> {
  const [home] = homes as readonly [Home];
  const topic = await channels.topicOf(home);
  if (topic === undefined) return undefined;
  const offsets = await offsetsOf(cluster, home.topic, start);
  const partitions = new Set(homes.flatMap((one) => channels.partitionsOf(one)));
  return {
    topicId: topic.id,
    offsets: Object.fromEntries(
      [...partitions].map((partition) => [String(partition), offsets.get(partition) ?? 0]),
    ),
  };
}

async function offsetsOf(cluster: Cluster, topic: string, start: Start): Promise<OffsetsByPartition> {
  if (typeof start === "string") return latestOf(cluster, topic);
  if ("time" in start) return offsetsAt(cluster, topic, start.time);
  const { partition, offset, storedAt } = start.place;
  const offsets = storedAt < 0 ? await latestOf(cluster, topic) : await offsetsAt(cluster, topic, storedAt);
  return new Map([...offsets, [partition, offset]]);
}

/** Where a group stands on a partition: what it committed, or where it began. */
export function startOfUnit(
  directory: Directory,
  unit: {
    readonly group: string;
    readonly channel: string;
    readonly topic: string;
    readonly partition: number;
    readonly topicId: string;
  },
  committed: Committed | undefined,
): Committed {
  if (committed !== undefined) {
    const kept = decodeState(committed.offset, committed.metadata);
    // What was committed to a topic that is gone says nothing of one of the same name.
    if (kept === undefined || kept.topicId === unit.topicId) return committed;
  }
  let offset: number | undefined;
  for (const { pattern, starts } of directory.entriesOf(unit.group)) {
    if (!matchPattern(pattern, unit.channel)) continue;
    const start = starts[unit.topic];
    const at = start?.topicId === unit.topicId ? (start.offsets[String(unit.partition)] ?? 0) : 0;
    offset = Math.min(offset ?? Infinity, at);
  }
  return { offset: offset ?? 0, metadata: "" };
}
