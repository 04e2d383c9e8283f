import type { Cluster } from "./cluster.ts";
import { KAFKA, kafkaError, responseOf } from "./errors.ts";

/** A committed offset and what is kept with it. */
export interface Committed {
  readonly offset: number;
  readonly metadata: string;
}

/** What has a place to be committed. */
export interface Committing {
  /** The Kafka group under which it is kept. */
  readonly kafkaGroup: string;
  readonly topic: string;
  readonly partition: number;
  /** Undefined when it is not ours to say any more. */
  state(): Committed | undefined;
}

const NOBODY = -1;
const RETRY_MS = 100;
/** Requests of one group that may be under way. */
const MAX_FLYING = 2;
const UNKNOWN_EPOCH = -1;
const MOVED = new Set<number>([KAFKA.COORDINATOR_NOT_AVAILABLE, KAFKA.NOT_COORDINATOR]);

type CommitAnswer = ReturnType<Cluster["kafka"]["offsetCommitV8"]["parseResponse"]>;

/** What of one Kafka group is to be written, or on its way. */
interface Writes {
  readonly kafkaGroup: string;
  readonly dirty: Set<Committing>;
  /** Grows with every change. */
  version: number;
  flying: number;
  waiting: {
    readonly version: number;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[];
}

/**
 * Writes the places of groups, many at a time. They are written in the turn in which they change, so that what was written survives the
 * death of the process, unless the group has as many requests under way as it may have: then what has changed goes with the next.
 */
export class Committer {
  readonly #cluster: Cluster;
  readonly #groups = new Map<string, Writes>();
  readonly #dirty = new Set<Writes>();
  #closed = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The place of something has changed. */
  mark(what: Committing): void {
    const { kafkaGroup } = what;
    let writes = this.#groups.get(kafkaGroup);
    if (writes === undefined) {
      writes = { kafkaGroup, dirty: new Set(), version: 0, flying: 0, waiting: [] };
      this.#groups.set(kafkaGroup, writes);
    }
    writes.version++;
    writes.dirty.add(what);
    this.#dirty.add(writes);
  }

  /** Writes what has changed, now. */
  now(): void {
    if (this.#closed) return;
    for (const writes of this.#dirty)
      if (writes.flying < MAX_FLYING) {
        this.#dirty.delete(writes);
        void this.#write(writes);
      }
  }

  /** Resolves when everything that has changed up to now is written, or could not be. */
  async settled(): Promise<void> {
    this.now();
    await Promise.allSettled([...this.#groups.values()].map((writes) => this.#done(writes)));
  }

  /** Resolves when the places of all these are written; rejects when one could not be, which is tried again. */
  async written(whats: Iterable<Committing>): Promise<void> {
    this.now();
    const groups = new Set<Writes>();
    for (const { kafkaGroup } of whats) {
      const writes = this.#groups.get(kafkaGroup);
      if (writes !== undefined) groups.add(writes);
    }
    for (const writes of groups) await this.#done(writes);
  }

  close(): void {
    this.#closed = true;
  }

  #done(writes: Writes): Promise<void> {
    if (writes.flying === 0 && writes.dirty.size === 0) return Promise.resolve();
    const { version } = writes;
    return new Promise((resolve, reject) => writes.waiting.push({ version, resolve, reject }));
  }

  async #write(writes: Writes): Promise<void> {
    const { kafkaGroup, version } = writes;
    const all = [...writes.dirty];
    writes.dirty.clear();
    writes.flying++;
    try {
      await this.#send(kafkaGroup, all);
      this.#answer(writes, version, ({ resolve }) => resolve());
    } catch (error) {
      for (const one of all) writes.dirty.add(one);
      if (!this.#closed) this.#cluster.clock.setTimer(RETRY_MS, () => this.#again(writes));
      this.#answer(writes, version, ({ reject }) => reject(kafkaError(error)));
    } finally {
      writes.flying--;
    }
    if (this.#dirty.has(writes)) this.now();
    else if (writes.flying === 0 && writes.dirty.size === 0) this.#groups.delete(kafkaGroup);
  }

  #again(writes: Writes): void {
    if (writes.dirty.size === 0) return;
    this.#dirty.add(writes);
    this.now();
  }

  /** Answers come in the order of the requests. */
  #answer(writes: Writes, version: number, tell: (waiting: Writes["waiting"][number]) => void): void {
    const due = writes.waiting.filter((one) => one.version <= version);
    if (due.length === 0) return;
    writes.waiting = writes.waiting.filter((one) => one.version > version);
    for (const one of due) tell(one);
  }

  async #send(kafkaGroup: string, all: readonly Committing[]): Promise<void> {
    const byTopic = new Map<string, CommitPart[]>();
    for (const one of all) {
      const state = one.state();
      if (state === undefined) continue;
      const parts = byTopic.get(one.topic);
      const part = partOf(one.partition, state);
      if (parts === undefined) byTopic.set(one.topic, [part]);
      else parts.push(part);
    }
    if (byTopic.size === 0) return;
    const topics = [...byTopic].map(([name, partitions]) => ({ name, partitions }));
    const { api } = this.#cluster.kafka.offsetCommitV8;
    try {
      const known = this.#cluster.knownCoordinator(kafkaGroup);
      const node = known ?? (await this.#cluster.coordinator(kafkaGroup));
      await this.#cluster.callNow(node, api, kafkaGroup, NOBODY, "", null, topics);
    } catch (error) {
      const answer = responseOf(error) as CommitAnswer | undefined;
      const codes =
        answer?.topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode)) ?? [];
      if (answer === undefined || codes.some((code) => MOVED.has(code)))
        this.#cluster.forgetCoordinator(kafkaGroup);
      throw error;
    }
  }
}

interface CommitPart {
  readonly partitionIndex: number;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
  readonly committedMetadata: string;
}

function partOf(partitionIndex: number, { offset, metadata }: Committed): CommitPart {
  return {
    partitionIndex,
    committedOffset: BigInt(offset),
    committedLeaderEpoch: UNKNOWN_EPOCH,
    committedMetadata: metadata,
  };
}
