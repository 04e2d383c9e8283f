import type { HeraldError } from "../../core/errors.ts";
import { Accepted, type Answering } from "./call.ts";
import type { Cluster } from "./cluster.ts";
import type { RecordToWrite } from "./codec.ts";
import {
  answered,
  isTransient,
  KAFKA,
  kafkaError,
  notConnected,
  responseOf,
  unknownOutcome,
  wasAnswered,
} from "./errors.ts";
import { positionOf } from "./position.ts";
import {
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  produceApi,
  writtenOf,
  type Batch,
  type Written,
} from "./produce-api.ts";

/** One record on its way, and who waits for it. */
export interface Outgoing {
  readonly record: RecordToWrite;
  readonly bytes: number;
  readonly call: Answering;
  readonly at: number;
  /** Monotonic. */
  readonly endsAt: number;
}

/** What is on its way to one partition. One batch of it is out at a time: the next must not overtake it. */
interface Lane {
  readonly topic: string;
  readonly partition: number;
  waiting: Outgoing[];
  out: { readonly items: readonly Outgoing[]; readonly batch: Batch; sends: number } | undefined;
  producer: { readonly id: bigint; readonly epoch: number } | undefined;
  sequence: number;
  restsUntil: number;
}

/** May be stored, or may not: the same batch is sent again, and the server knows it again. */
const UNSURE = new Set<number>([KAFKA.REQUEST_TIMED_OUT, KAFKA.NOT_ENOUGH_REPLICAS_AFTER_APPEND]);
const LOST_COUNT = new Set<number>([
  KAFKA.OUT_OF_ORDER_SEQUENCE_NUMBER,
  KAFKA.INVALID_PRODUCER_EPOCH,
  KAFKA.UNKNOWN_PRODUCER_ID,
]);
const MAX_REQUEST_BYTES = MAX_BATCH_BYTES;
const PAUSE_MS = 50;

/**
 * Writes records, acknowledged by all replicas in sync, in their order a partition. What is published while a request is out goes
 * with the next. A batch without an answer is sent again under the numbers it had, so that it is stored once; after its time it is
 * reported as unknown, and the partition goes on under a new producer id.
 */
export class Producer {
  readonly #cluster: Cluster;
  readonly #api: ReturnType<typeof produceApi>;
  readonly #lanes = new Map<string, Lane>();
  readonly #dirty = new Set<Lane>();
  /** Whose batch is with a server now. */
  readonly #flying = new Set<Lane>();
  /** Nodes that a request is on its way to. */
  readonly #busy = new Set<number>();
  #producer: Promise<{ readonly id: bigint; readonly epoch: number }> | undefined;
  #isScheduled = false;
  /** Told of a topic that is written to and does not exist any more. */
  onMissing: (topic: string) => void = () => {};
  #closed: HeraldError | undefined;
  #idle: (() => void) | undefined;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#api = produceApi(cluster.kafka, cluster.settings);
  }

  /** Puts a record behind those of its partition. */
  add(outgoing: Outgoing): void {
    if (this.#closed !== undefined) {
      outgoing.call.fail(outgoing.at, this.#closed);
      return;
    }
    const lane = this.#lane(outgoing.record.topic, outgoing.record.partition);
    lane.waiting.push(outgoing);
    this.#dirty.add(lane);
    this.#soon();
  }

  /** Resolves when nothing is on its way, or after so long. */
  drainedWithin(ms: number): Promise<void> {
    if (this.#dirty.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#cluster.clock.setTimer(ms, resolve);
      this.#idle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Whatever waits ends with this error. */
  close(error: HeraldError): void {
    this.#closed = error;
    for (const lane of this.#dirty) {
      for (const { call, at } of lane.out?.items ?? [])
        call.fail(at, lane.out?.sends === 0 ? error : unknownOutcome(error));
      for (const { call, at } of lane.waiting) call.fail(at, error);
    }
    this.#dirty.clear();
    this.#idle?.();
  }

  #lane(topic: string, partition: number): Lane {
    const name = `${topic}:${partition}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = {
        topic,
        partition,
        waiting: [],
        out: undefined,
        producer: undefined,
        sequence: 0,
        restsUntil: -Infinity,
      };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #soon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#flush();
    });
  }

  #later(ms: number): void {
    this.#cluster.clock.setTimer(ms, () => this.#soon());
  }

  async #flush(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#expire();
    if (this.#dirty.size === 0) {
      this.#idle?.();
      this.#idle = undefined;
      return;
    }
    const now = this.#cluster.clock.monotonic();
    const ready = new Map<number, Lane[]>();
    const leaderless = new Set<string>();
    for (const lane of this.#dirty) {
      if (lane.restsUntil > now) continue;
      const leader = this.#cluster.leader(lane.topic, lane.partition);
      if (leader === undefined) {
        leaderless.add(lane.topic);
        this.#rest(lane);
      } else if (!this.#busy.has(leader)) {
        const lanes = ready.get(leader);
        if (lanes === undefined) ready.set(leader, [lane]);
        else lanes.push(lane);
      }
    }
    if (leaderless.size > 0) void this.#ask([...leaderless]);
    for (const [node, lanes] of ready) void this.#send(node, lanes);
  }

  /** What has waited for too long ends: refused when it was never sent, unknown when it was. */
  #expire(): void {
    const now = this.#cluster.clock.monotonic();
    for (const lane of this.#dirty) {
      const { out } = lane;
      if (out !== undefined && !this.#flying.has(lane) && (out.items[0]?.endsAt ?? 0) <= now) {
        const error = out.sends === 0 ? notConnected() : unknownOutcome(notConnected());
        for (const { call, at } of out.items) call.fail(at, error);
        this.#abandon(lane);
      }
      if (lane.waiting.length > 0 && (lane.waiting[0]?.endsAt ?? Infinity) <= now) {
        const over = lane.waiting.findIndex(({ endsAt }) => endsAt > now);
        for (const { call, at } of lane.waiting.splice(0, over < 0 ? lane.waiting.length : over))
          call.fail(at, notConnected());
      }
      if (lane.out === undefined && lane.waiting.length === 0) this.#dirty.delete(lane);
    }
  }

  /** The numbers of a batch that may be stored or not cannot be used again. */
  #abandon(lane: Lane): void {
    lane.out = undefined;
    lane.producer = undefined;
  }

  async #send(node: number, lanes: readonly Lane[]): Promise<void> {
    this.#busy.add(node);
    const sent: Lane[] = [];
    try {
      let bytes = 0;
      for (const lane of lanes) {
        if (sent.length > 0 && bytes >= MAX_REQUEST_BYTES) break;
        await this.#prepare(lane);
        if (lane.out === undefined) continue;
        bytes += lane.out.items.reduce((sum, item) => sum + item.bytes, 0);
        sent.push(lane);
        this.#flying.add(lane);
      }
      if (sent.length > 0) await this.#write(node, sent);
    } catch (error) {
      // No producer id, or no connection: nothing was sent.
      for (const lane of sent.length > 0 ? sent : lanes) this.#rest(lane);
      if (!wasAnswered(error)) this.#refresh(lanes);
    } finally {
      for (const lane of sent) this.#flying.delete(lane);
      this.#busy.delete(node);
      this.#soon();
    }
  }

  /** Makes the next batch of a lane, unless one is still to be sent again. */
  async #prepare(lane: Lane): Promise<void> {
    if (lane.out !== undefined || lane.waiting.length === 0) return;
    if (lane.producer === undefined) {
      lane.producer = await this.#newProducer(lane.sequence > 0);
      lane.sequence = 0;
    }
    let bytes = 0;
    let count = 0;
    for (const item of lane.waiting) {
      if (count > 0 && (bytes + item.bytes > MAX_REQUEST_BYTES || count >= MAX_BATCH_RECORDS)) break;
      bytes += item.bytes;
      count++;
    }
    const items = lane.waiting.splice(0, count);
    const { topic, partition, producer, sequence } = lane;
    lane.sequence += items.length;
    const records = items.map(({ record }) => record);
    const numbers = { producerId: producer.id, producerEpoch: producer.epoch, firstSequence: sequence };
    lane.out = { items, batch: { topic, partition, records, ...numbers }, sends: 0 };
  }

  /** `own`: one that no other partition uses. */
  async #newProducer(own: boolean): Promise<{ readonly id: bigint; readonly epoch: number }> {
    const make = async () => {
      const { producerId, producerEpoch } = await this.#cluster.any(
        this.#cluster.kafka.initProducerIdV4.api,
        null,
        0,
        -1n,
        -1,
      );
      return { id: producerId, epoch: producerEpoch };
    };
    if (own) return make();
    this.#producer ??= make();
    try {
      return await this.#producer;
    } catch (error) {
      this.#producer = undefined;
      throw error;
    }
  }

  async #write(node: number, lanes: readonly Lane[]): Promise<void> {
    const batches = lanes.map(({ out }) => (out as NonNullable<Lane["out"]>).batch);
    for (const { out } of lanes) if (out !== undefined) out.sends++;
    let written: readonly Written[];
    try {
      written = writtenOf(await this.#cluster.call(node, "main", this.#api, batches, null));
    } catch (error) {
      const answer = responseOf(error) as Parameters<typeof writtenOf>[0] | undefined;
      if (answer === undefined) {
        const ours = kafkaError(error);
        const wasSent = ours !== error || ours.code !== "NOT_CONNECTED";
        for (const lane of lanes) {
          if (!wasSent && lane.out !== undefined) lane.out.sends--;
          this.#rest(lane);
        }
        this.#refresh(lanes);
        return;
      }
      written = writtenOf(answer);
    }
    for (const lane of lanes) {
      const result = written.find(
        ({ topic, partition }) => topic === lane.topic && partition === lane.partition,
      );
      this.#settle(lane, result);
    }
  }

  #settle(lane: Lane, result: Written | undefined): void {
    const { out } = lane;
    if (out === undefined) return;
    const code = result?.errorCode ?? KAFKA.REQUEST_TIMED_OUT;
    if (code === 0 || code === KAFKA.DUPLICATE_SEQUENCE_NUMBER) {
      lane.out = undefined;
      out.items.forEach(({ call, at }, n) => {
        const offset = (result?.baseOffset ?? -1) + n;
        const stamp = result?.logAppendTime ?? -1;
        call.set(at, new Accepted(code === 0 ? positionOf(lane.partition, offset, stamp) : null));
      });
      return;
    }
    if (UNSURE.has(code)) {
      this.#rest(lane);
      return;
    }
    if (isTransient(code)) {
      // It was not stored by this request; had an earlier one stored it, the numbers tell.
      this.#rest(lane);
      this.#refresh([lane]);
      return;
    }
    if (LOST_COUNT.has(code) && out.sends === 1) {
      // Never stored: it goes again under numbers that the server takes.
      lane.waiting.unshift(...out.items);
      this.#abandon(lane);
      return;
    }
    const error = LOST_COUNT.has(code) ? unknownOutcome() : answered(code, "");
    this.#abandon(lane);
    for (const { call, at } of out.items) call.fail(at, error);
  }

  #rest(lane: Lane): void {
    lane.restsUntil = this.#cluster.clock.monotonic() + PAUSE_MS;
    this.#later(PAUSE_MS + 1);
  }

  #refresh(lanes: readonly Lane[]): void {
    void this.#ask([...new Set(lanes.map(({ topic }) => topic))]);
  }

  async #ask(topics: readonly string[]): Promise<void> {
    try {
      await this.#cluster.refresh(topics);
    } catch {
      return;
    }
    for (const topic of topics) if (this.#cluster.topic(topic) === undefined) this.onMissing(topic);
  }
}
