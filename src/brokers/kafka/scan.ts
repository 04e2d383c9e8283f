import type { Cluster } from "./cluster.ts";
import { answered, KAFKA, notConnected } from "./errors.ts";
import { fetchApi } from "./fetch-api.ts";
import { portionOf, type Fetched } from "./fetched.ts";

const COMMITTED = 1;
const BYTES = 1024 * 1024;

/** Reads a partition from one offset up to another; ends when `visit` says false. Rejects when the leader cannot be asked. */
export async function scan(
  cluster: Cluster,
  part: { readonly topic: string; readonly partition: number; readonly from: number; readonly to: number },
  visit: (record: Fetched) => boolean,
): Promise<void> {
  const { topic, partition, to } = part;
  const api = fetchApi(cluster.kafka);
  let { from } = part;
  while (from < to) {
    const leader = cluster.leader(topic, partition);
    const id = cluster.topic(topic)?.id;
    if (leader === undefined || id === undefined) throw notConnected();
    const partitions = [
      {
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: BigInt(from),
        lastFetchedEpoch: -1,
        partitionMaxBytes: BYTES,
      },
    ];
    const topics = [{ topicId: id, partitions }];
    const answer = await cluster.call(leader, "main", api, 0, 0, BYTES, COMMITTED, 0, -1, topics, [], "");
    const found = answer.topics[0]?.partitions[0];
    if (found?.errorCode === KAFKA.OFFSET_OUT_OF_RANGE && found.logStartOffset > from) {
      from = found.logStartOffset;
      continue;
    }
    const code = answer.errorCode === 0 ? (found?.errorCode ?? KAFKA.UNKNOWN_TOPIC_ID) : answer.errorCode;
    if (found === undefined || code !== 0) throw answered(code, "");
    const { records, next } = portionOf(cluster.kafka, found, from);
    for (const record of records) if (record.offset >= to || !visit(record)) return;
    if (next <= from) return;
    from = next;
  }
}
