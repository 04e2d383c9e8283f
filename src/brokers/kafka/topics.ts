import type { Cluster } from "./cluster.ts";
import { answered, isTransient, KAFKA, responseOf } from "./errors.ts";

/** A topic to be made. */
export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

type Answer = ReturnType<Cluster["kafka"]["createTopicsV7"]["parseResponse"]>;

const AS_THE_CLUSTER_SAYS = -1;
const TRIES = 20;
const PAUSE_MS = 50;

/** Makes topics that may exist already; resolves when they are led. Rejects with what the cluster refuses. */
export async function createTopics(cluster: Cluster, topics: readonly NewTopic[]): Promise<void> {
  const { requestTimeoutMs, replication } = cluster.settings;
  const wanted = topics.map(({ name, partitions, config }) => ({
    name,
    numPartitions: partitions,
    replicationFactor: replication ?? AS_THE_CLUSTER_SAYS,
    assignments: [],
    configs: Object.entries(config).map(([key, value]) => ({ name: key, value })),
  }));
  let answer: Answer;
  try {
    answer = await cluster.any(cluster.kafka.createTopicsV7.api, wanted, requestTimeoutMs, false);
  } catch (error) {
    const response = responseOf(error) as Answer | undefined;
    if (response === undefined) throw error;
    answer = response;
  }
  for (const { name, errorCode, errorMessage } of answer.topics) {
    if (errorCode === 0 || errorCode === KAFKA.TOPIC_ALREADY_EXISTS) continue;
    if (!isTransient(errorCode)) throw answered(errorCode, `${errorMessage ?? ""} (topic '${name}')`);
    throw answered(errorCode, "");
  }
  const names = topics.map(({ name }) => name);
  for (let tries = 0; tries < TRIES; tries++) {
    await cluster.refresh(names);
    if (names.every((name) => isLed(cluster, name))) return;
    await new Promise<void>((resolve) => void cluster.clock.setTimer(PAUSE_MS, resolve));
  }
}

function isLed(cluster: Cluster, name: string): boolean {
  const leaders = cluster.topic(name)?.leaders;
  return leaders !== undefined && leaders.length > 0 && leaders.every((leader) => leader >= 0);
}

/** How the topic of a channel is kept. */
export function channelConfig(retentionMs: number, maxBodyBytes: number): Readonly<Record<string, string>> {
  return {
    "retention.ms": String(Math.max(1, Math.round(retentionMs))),
    // Times of messages are the cluster's own, so that they only grow and any of them is a place to start.
    "message.timestamp.type": "LogAppendTime",
    // A body, its headers and what a batch costs.
    "max.message.bytes": String(maxBodyBytes + 256 * 1024),
  };
}
