import type { Cluster } from "./cluster.ts";
import { answered, KAFKA, Leaderless } from "./errors.ts";
import { fetchApi, type FetchedPart } from "./fetch-api.ts";
import { portionOf, type Fetched } from "./fetched.ts";

const COMMITTED = 1;
const BYTES = 1024 * 1024;

/** What is read: a partition from one offset up to another, which the partition has reached. */
export interface Stretch {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/** Reads a partition from one offset up to another; ends when `visit` says false. Rejects when the leader cannot be asked. */
export async function scan(
  cluster: Cluster,
  stretch: Stretch,
  visit: (record: Fetched) => boolean,
): Promise<void> {
  try {
    await read(cluster, stretch, visit);
  } catch (error) {
    // Whoever asks again asks the node that leads it by then.
    cluster.refresh([stretch.topic]).catch(() => undefined);
    throw error;
  }
}

async function read(
  cluster: Cluster,
  { topic, partition, from: first, to }: Stretch,
  visit: (record: Fetched) => boolean,
): Promise<void> {
  let from = first;
  while (from < to) {
    const found = await fetchFrom(cluster, { topic, partition, from });
    if (found.errorCode === KAFKA.OFFSET_OUT_OF_RANGE && found.logStartOffset > from) {
      from = found.logStartOffset;
      continue;
    }
    if (found.errorCode !== 0) throw answered(found.errorCode, "");
    const { records, next } = portionOf(cluster.kafka, found, from);
    for (const record of records) if (record.offset >= to || !visit(record)) return;
    // A node that follows the leader may not have got so far.
    if (next <= from) throw answered(KAFKA.OFFSET_NOT_AVAILABLE, "");
    from = next;
  }
}

async function fetchFrom(
  cluster: Cluster,
  { topic, partition, from }: Omit<Stretch, "to">,
): Promise<FetchedPart> {
  const leader = cluster.leader(topic, partition);
  const topicId = cluster.topic(topic)?.id;
  if (leader === undefined || topicId === undefined) throw new Leaderless();
  const asked = {
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(from),
    lastFetchedEpoch: -1,
    partitionMaxBytes: BYTES,
  };
  const topics = [{ topicId, partitions: [asked] }];
  const api = fetchApi(cluster.kafka);
  const answer = await cluster.call(leader, "main", api, 0, 0, BYTES, COMMITTED, 0, -1, topics, [], "");
  const found = answer.topics[0]?.partitions[0];
  if (answer.errorCode !== 0) throw answered(answer.errorCode, "");
  if (found === undefined) throw answered(KAFKA.UNKNOWN_TOPIC_ID, "");
  return found;
}
