import type { Cluster } from "./cluster.ts";
import type { Committed } from "./committer.ts";
import { KAFKA, responseOf } from "./errors.ts";
import { Together } from "./together.ts";

type Answer = ReturnType<Cluster["kafka"]["offsetFetchV8"]["parseResponse"]>;

/** What one Kafka group has committed on a topic, asked for. */
interface Want {
  readonly group: string;
  readonly topic: string;
  readonly partitions: readonly number[];
}

type ByPartition = ReadonlyMap<number, Committed>;

const MOST = 1000;
const NOBODY = -1;

/** Reads the places of groups: those that are asked for in one turn with one request a node. */
export class Places {
  readonly #cluster: Cluster;
  readonly #together: Together<Want, ByPartition>;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#together = new Together(MOST, (wants) => this.#ask(wants));
  }

  /** What is committed by a group on a topic, by partition. Rejects when Kafka does not say. */
  load(group: string, topic: string, partitions: readonly number[]): Promise<ByPartition> {
    return this.#together.get({ group, topic, partitions });
  }

  async #ask(wants: readonly Want[]): Promise<ReadonlyMap<Want, ByPartition>> {
    const nodes = await Promise.all(wants.map(({ group }) => this.#cluster.coordinator(group)));
    const byNode = Map.groupBy(wants.keys(), (at) => nodes[at] as number);
    const found = new Map<Want, ByPartition>();
    const asked = [...byNode].map(async ([node, some]) => {
      const these = some.map((at) => wants[at] as Want);
      const answers = await this.#askNode(node, these);
      for (const want of these) {
        const committed = answers.get(want.group);
        if (committed !== undefined) found.set(want, committed.get(want.topic) ?? new Map());
        else this.#cluster.forgetCoordinator(want.group);
      }
    });
    await Promise.all(asked);
    return found;
  }

  /** What each group has committed, by topic; those that the node does not answer for are left out. */
  async #askNode(
    node: number,
    wants: readonly Want[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, ByPartition>>> {
    const groups = [...Map.groupBy(wants, ({ group }) => group)].map(([groupId, same]) => ({
      groupId,
      memberEpoch: NOBODY,
      memberId: null,
      topics: [...Map.groupBy(same, ({ topic }) => topic)].map(([name, some]) => ({
        name,
        partitionIndexes: [...new Set(some.flatMap(({ partitions }) => partitions))],
      })),
    }));
    let answer: Answer;
    try {
      answer = await this.#cluster.call(node, "main", this.#cluster.kafka.offsetFetchV8.api, groups, true);
    } catch (error) {
      const response = responseOf(error) as Answer | undefined;
      if (response === undefined) {
        for (const { groupId } of groups) this.#cluster.forgetCoordinator(groupId);
        throw error;
      }
      answer = response;
    }
    return new Map(
      answer.groups.flatMap((group) =>
        isAnswered(group) ? [[group.groupId, topicsOf(group)] as const] : [],
      ),
    );
  }
}

type GroupAnswer = Answer["groups"][number];

function isAnswered({ errorCode, topics }: GroupAnswer): boolean {
  if (errorCode === KAFKA.GROUP_ID_NOT_FOUND) return true;
  return (
    errorCode === 0 && topics.every(({ partitions }) => partitions.every((part) => part.errorCode === 0))
  );
}

function topicsOf({ topics }: GroupAnswer): ReadonlyMap<string, ByPartition> {
  return new Map(
    topics.map(({ name, partitions }) => [
      name,
      new Map(
        partitions.flatMap(({ partitionIndex, committedOffset, metadata }) =>
          committedOffset >= 0n
            ? [[partitionIndex, { offset: Number(committedOffset), metadata: metadata ?? "" }] as const]
            : [],
        ),
      ),
    ]),
  );
}
