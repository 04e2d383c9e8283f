import type { RecordToWrite } from "./codec.ts";
import type { Cluster } from "./cluster.ts";
import { codesOf, KAFKA, Leaderless } from "./errors.ts";
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS, produceApi, type Batch } from "./produce-api.ts";

const PAUSE_MS = 5;
/** About what a record costs beside its key, its value and its headers. */
const OVERHEAD_BYTES = 100;

/**
 * A producer that nobody else can write as: whoever begins one under the same transactional id ends the transaction of this one,
 * and from then on the cluster refuses it (KIP-98). After any rejection it is of no use any more.
 */
export class TransactionalProducer {
  readonly #cluster: Cluster;
  readonly #id: string;
  /** The node that looks after its transactions. */
  readonly #node: number;
  readonly #producerId: bigint;
  readonly #producerEpoch: number;
  readonly #api: ReturnType<typeof produceApi>;
  /** By partition: the number of its next record. */
  readonly #sequences = new Map<string, number>();

  private constructor(
    cluster: Cluster,
    id: string,
    numbers: { readonly node: number; readonly producerId: bigint; readonly producerEpoch: number },
  ) {
    this.#cluster = cluster;
    this.#id = id;
    this.#node = numbers.node;
    this.#producerId = numbers.producerId;
    this.#producerEpoch = numbers.producerEpoch;
    this.#api = produceApi(cluster.kafka, cluster.settings);
  }

  /** Resolves when whatever was under way under this id has ended, one way or the other. Rejects with the client's own errors. */
  static async begin(cluster: Cluster, id: string): Promise<TransactionalProducer> {
    const node = await cluster.transactionCoordinator(id);
    const { api } = cluster.kafka.initProducerIdV4;
    const { requestTimeoutMs } = cluster.settings;
    const { producerId, producerEpoch } = await patient(cluster, () =>
      cluster.call(node, "main", api, id, requestTimeoutMs, -1n, -1),
    );
    return new TransactionalProducer(cluster, id, { node, producerId, producerEpoch });
  }

  /** Writes records, all or none of them. Rejects with the client's own errors; then they may be written or not. */
  async write(records: readonly RecordToWrite[]): Promise<void> {
    const lanes = [...Map.groupBy(records, ({ topic, partition }) => `${topic}:${partition}`)];
    await this.#announce(lanes.map(([, [first]]) => first as RecordToWrite));
    const rows = lanes.map(([name, all]) => portionsOf(all).map((some) => this.#batchOf(name, some)));
    const longest = Math.max(...rows.map(({ length }) => length));
    // A request takes one batch of a partition.
    for (let at = 0; at < longest; at++) await this.#send(rows.flatMap((row) => row[at] ?? []));
    const { api } = this.#cluster.kafka.endTxnV4;
    await this.#cluster.call(this.#node, "main", api, this.#id, this.#producerId, this.#producerEpoch, true);
  }

  /** Which partitions it is about. The one before may not be over for all of its own yet. */
  async #announce(places: readonly RecordToWrite[]): Promise<void> {
    const topics = [...Map.groupBy(places, ({ topic }) => topic)].map(([name, some]) => ({
      name,
      partitions: some.map(({ partition }) => partition),
    }));
    const { api } = this.#cluster.kafka.addPartitionsToTxnV3;
    const transaction = {
      transactionalId: this.#id,
      producerId: this.#producerId,
      producerEpoch: this.#producerEpoch,
      verifyOnly: false,
      topics,
    };
    await patient(this.#cluster, () => this.#cluster.call(this.#node, "main", api, [transaction]));
  }

  #batchOf(lane: string, records: readonly RecordToWrite[]): Batch {
    const { topic, partition } = records[0] as RecordToWrite;
    const firstSequence = this.#sequences.get(lane) ?? 0;
    this.#sequences.set(lane, firstSequence + records.length);
    const numbers = { producerId: this.#producerId, producerEpoch: this.#producerEpoch, firstSequence };
    return { topic, partition, records, ...numbers, transactional: true };
  }

  async #send(batches: readonly Batch[]): Promise<void> {
    const byNode = Map.groupBy(
      batches,
      ({ topic, partition }) => this.#cluster.leader(topic, partition) ?? -1,
    );
    if (byNode.has(-1)) throw new Leaderless();
    await Promise.all(
      [...byNode].map(([node, some]) => this.#cluster.call(node, "main", this.#api, some, this.#id)),
    );
  }
}

/** Asks again while the transaction before is still being ended. */
async function patient<T>(cluster: Cluster, ask: () => Promise<T>): Promise<T> {
  const endsAt = cluster.clock.monotonic() + cluster.settings.requestTimeoutMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isBusy = codesOf(error).includes(KAFKA.CONCURRENT_TRANSACTIONS);
      if (!isBusy || cluster.clock.monotonic() >= endsAt) throw error;
      await new Promise<void>((resolve) => void cluster.clock.setTimer(PAUSE_MS, resolve));
    }
  }
}

/** Records of one partition, a batch each. */
function portionsOf(records: readonly RecordToWrite[]): readonly (readonly RecordToWrite[])[] {
  const portions: RecordToWrite[][] = [];
  let room = 0;
  for (const record of records) {
    const bytes = bytesOf(record);
    const last = portions.at(-1);
    if (last === undefined || bytes > room || last.length >= MAX_BATCH_RECORDS) {
      portions.push([record]);
      room = MAX_BATCH_BYTES - bytes;
    } else {
      last.push(record);
      room -= bytes;
    }
  }
  return portions;
}

function bytesOf({ key, value, headers }: RecordToWrite): number {
  const all = headers.reduce((sum, part) => sum + part.length, 0);
  return OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + all;
}
