import { HeraldError } from "../../core/errors.ts";
import type { Cluster } from "./cluster.ts";
import { mayAskAgain } from "./errors.ts";

const CONSUMER = -1;
const COMMITTED = 1;
const LATEST = -1n;
const EARLIEST = -2n;
const PAUSE_MS = 20;

/** A partition has no leader now. */
class Leaderless extends HeraldError {
  constructor() {
    super("NOT_CONNECTED", "A partition has no leader now. It is tried again until it has.");
  }
}

/** A partition and the offset asked for. */
export type OffsetsByPartition = ReadonlyMap<number, number>;

/** The offsets of a topic's partitions at a time, epoch milliseconds; where nothing is as late, the end. Rejects when a partition has no leader. */
export async function offsetsAt(cluster: Cluster, topic: string, time: number): Promise<OffsetsByPartition> {
  const found = await ask(cluster, topic, BigInt(Math.floor(time)));
  if ([...found.values()].every((offset) => offset >= 0)) return found;
  const ends = await latestOf(cluster, topic);
  return new Map(
    [...found].map(([partition, offset]) => [partition, offset < 0 ? (ends.get(partition) ?? 0) : offset]),
  );
}

/** The ends of a topic's partitions. */
export function latestOf(cluster: Cluster, topic: string): Promise<OffsetsByPartition> {
  return cluster.asOne(`latest ${topic}`, () => ask(cluster, topic, LATEST));
}

/** The first offsets that a topic's partitions still hold. */
export function earliestOf(cluster: Cluster, topic: string): Promise<OffsetsByPartition> {
  return cluster.asOne(`earliest ${topic}`, () => ask(cluster, topic, EARLIEST));
}

/** Both ends of one partition. */
export async function endsOf(
  cluster: Cluster,
  topic: string,
  partition: number,
): Promise<{ readonly start: number; readonly end: number }> {
  const [starts, ends] = await Promise.all([earliestOf(cluster, topic), latestOf(cluster, topic)]);
  return { start: starts.get(partition) ?? 0, end: ends.get(partition) ?? 0 };
}

/** A topic that was made a moment ago, or is led by another node now, is asked again. */
async function ask(cluster: Cluster, topic: string, timestamp: bigint): Promise<OffsetsByPartition> {
  const { clock, settings } = cluster;
  const endsAt = clock.monotonic() + settings.requestTimeoutMs;
  for (;;) {
    try {
      return await askOnce(cluster, topic, timestamp);
    } catch (error) {
      if (!(mayAskAgain(error) || error instanceof Leaderless) || clock.monotonic() >= endsAt) throw error;
      await new Promise<void>((resolve) => void clock.setTimer(PAUSE_MS, resolve));
    }
  }
}

async function askOnce(cluster: Cluster, topic: string, timestamp: bigint): Promise<OffsetsByPartition> {
  if (cluster.topic(topic) === undefined) await cluster.refresh([topic]);
  const leaders = cluster.topic(topic)?.leaders ?? [];
  const byNode = Map.groupBy(leaders.keys(), (partition) => leaders[partition] ?? -1);
  if (byNode.has(-1)) {
    await cluster.refresh([topic]);
    throw new Leaderless();
  }
  const found = new Map<number, number>();
  const { api } = cluster.kafka.listOffsetsV7;
  const asked = [...byNode].map(async ([node, partitions]) => {
    const parts = partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }));
    try {
      const answer = await cluster.call(node, "main", api, CONSUMER, COMMITTED, [
        { name: topic, partitions: parts },
      ]);
      for (const part of answer.topics[0]?.partitions ?? [])
        found.set(part.partitionIndex, Number(part.offset));
    } catch (error) {
      cluster.forget(topic);
      throw error;
    }
  });
  await Promise.all(asked);
  return found;
}
