import type { Cluster } from "./cluster.ts";
import { Leaderless, mayAskAgain } from "./errors.ts";

const CONSUMER = -1;
const WRITTEN = 0;
const COMMITTED = 1;
const LATEST = -1n;
const EARLIEST = -2n;
const PAUSE_MS = 20;

/** A partition and the offset asked for. */
export type OffsetsByPartition = ReadonlyMap<number, number>;

/** The offsets of a topic's partitions at a time, epoch milliseconds; where nothing is as late, the end. Rejects when a partition has no leader. */
export async function offsetsAt(cluster: Cluster, topic: string, time: number): Promise<OffsetsByPartition> {
  const found = await ask(cluster, { topic, timestamp: BigInt(Math.floor(time)) });
  if ([...found.values()].every((offset) => offset >= 0)) return found;
  const ends = await latestOf(cluster, topic);
  return new Map(
    [...found].map(([partition, offset]) => [partition, offset < 0 ? (ends.get(partition) ?? 0) : offset]),
  );
}

/** As {@link offsetsAt} for one partition, whatever became of the others; undefined where nothing is as late. */
export async function offsetAt(
  cluster: Cluster,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  time: number,
): Promise<number | undefined> {
  const found = await ask(cluster, { topic, partition, timestamp: BigInt(Math.floor(time)) });
  const offset = found.get(partition) ?? -1;
  return offset < 0 ? undefined : offset;
}

/** The ends of a topic's partitions. */
export function latestOf(cluster: Cluster, topic: string): Promise<OffsetsByPartition> {
  return cluster.asOne(`latest ${topic}`, () => ask(cluster, { topic, timestamp: LATEST }));
}

/** The end of a topic of one partition, with what lies in transactions that are under way. */
export async function writtenEndOf(cluster: Cluster, topic: string): Promise<number> {
  const question = { topic, partition: 0, timestamp: LATEST, isolation: WRITTEN };
  const ends = await cluster.asOne(`written ${topic}`, () => ask(cluster, question));
  return ends.get(0) ?? 0;
}

/** The first offsets that a topic's partitions still hold. */
export function earliestOf(cluster: Cluster, topic: string): Promise<OffsetsByPartition> {
  return cluster.asOne(`earliest ${topic}`, () => ask(cluster, { topic, timestamp: EARLIEST }));
}

/** Both ends of one partition, whatever became of the others. */
export async function endsOf(
  cluster: Cluster,
  topic: string,
  partition: number,
): Promise<{ readonly start: number; readonly end: number }> {
  const at = (name: string, timestamp: bigint) =>
    cluster.asOne(`${name} ${topic} ${partition}`, () => ask(cluster, { topic, partition, timestamp }));
  const [starts, ends] = await Promise.all([at("earliest", EARLIEST), at("latest", LATEST)]);
  return { start: starts.get(partition) ?? 0, end: ends.get(partition) ?? 0 };
}

/** What is asked. */
interface Question {
  readonly topic: string;
  /** Absent: of all. */
  readonly partition?: number;
  readonly timestamp: bigint;
  /** Default: what is committed. */
  readonly isolation?: number;
}

/** A topic that was made a moment ago, or is led by another node now, is asked again. */
async function ask(cluster: Cluster, question: Question): Promise<OffsetsByPartition> {
  const { clock, settings } = cluster;
  const endsAt = clock.monotonic() + settings.requestTimeoutMs;
  for (;;) {
    try {
      return await askOnce(cluster, question);
    } catch (error) {
      // Whoever asks again asks the node that leads it by then.
      const refreshed = cluster.refresh([question.topic]).catch(() => undefined);
      if (!(mayAskAgain(error) || error instanceof Leaderless) || clock.monotonic() >= endsAt) throw error;
      await refreshed;
      await new Promise<void>((resolve) => void clock.setTimer(PAUSE_MS, resolve));
    }
  }
}

async function askOnce(cluster: Cluster, question: Question): Promise<OffsetsByPartition> {
  const { topic, partition: only, timestamp, isolation = COMMITTED } = question;
  if (cluster.topic(topic) === undefined) await cluster.refresh([topic]);
  const known = cluster.topic(topic)?.leaders ?? [];
  const wanted = only === undefined ? [...known.keys()] : [only];
  const byNode = Map.groupBy(wanted, (partition) => known[partition] ?? -1);
  if (byNode.size === 0 || byNode.has(-1)) throw new Leaderless();
  const found = new Map<number, number>();
  const { api } = cluster.kafka.listOffsetsV7;
  const asked = [...byNode].map(async ([node, partitions]) => {
    const parts = partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }));
    const answer = await cluster.call(node, "main", api, CONSUMER, isolation, [
      { name: topic, partitions: parts },
    ]);
    for (const part of answer.topics[0]?.partitions ?? [])
      found.set(part.partitionIndex, Number(part.offset));
  });
  await Promise.all(asked);
  return found;
}
