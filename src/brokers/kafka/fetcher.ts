import type { Cluster, Role } from "./cluster.ts";
import { toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { KAFKA } from "./errors.ts";
import { fetchApi, type FetchAnswer, type FetchedPart } from "./fetch-api.ts";
import { portionOf, type Fetched, type Portion } from "./fetched.ts";
import { endsOf } from "./offsets.ts";
import { Part, type Reader } from "./reader.ts";

/** One partition of a request. */
interface Ask {
  readonly part: Part;
  readonly from: number;
}

const COMMITTED = 1;
/** How long a request waits at the server for something to come. */
const WAIT_MS = 250;
/** The same for partitions that the request that waits does not cover. */
const SHORT_WAIT_MS = 20;
const PART_BYTES = 1024 * 1024;
const REQUEST_BYTES = 16 * 1024 * 1024;
const PAUSE_MS = 50;

/**
 * Reads partitions for everybody in this process: one request a node waits for what comes, whatever the number of groups and
 * subscriptions, and a second one reads for those that are behind.
 */
export class Fetcher {
  readonly #cluster: Cluster;
  readonly #api: ReturnType<typeof fetchApi>;
  readonly #parts = new Map<string, Part>();
  readonly #partOf = new Map<Reader, Part>();
  /** What the waiting request of each node covers. */
  readonly #covered = new Map<number, ReadonlySet<Part>>();
  readonly #running = new Set<string>();
  #isScheduled = false;
  #closed = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#api = fetchApi(cluster.kafka);
  }

  /** Reads a partition for one more. */
  add(reader: Reader): void {
    const name = `${reader.topic}:${reader.partition}`;
    let part = this.#parts.get(name);
    if (part === undefined) this.#parts.set(name, (part = new Part(reader.topic, reader.partition)));
    part.apart.add(reader);
    this.#partOf.set(reader, part);
    this.#soon();
  }

  remove(reader: Reader): void {
    const part = this.#partOf.get(reader);
    if (part === undefined) return;
    this.#partOf.delete(reader);
    part.remove(reader);
    if (part.isEmpty) this.#parts.delete(`${reader.topic}:${reader.partition}`);
  }

  /** A reader has room again. */
  wake(reader: Reader): void {
    if (this.#partOf.get(reader)?.apart.has(reader) === true) this.#soon();
  }

  /** A reader reads again from an offset that it has passed. */
  goBack(reader: Reader, offset: number): void {
    const part = this.#partOf.get(reader);
    if (part?.along.has(reader) === true) part.detach(reader);
    reader.position = offset;
    this.#soon();
  }

  /** How far a reader has read. */
  placeOf(reader: Reader): number {
    const part = this.#partOf.get(reader);
    if (part === undefined || reader.channel === undefined || !part.along.has(reader)) return reader.position;
    return Math.max(reader.position, part.tail);
  }

  /** Is there something that a reader has not read, as far as is known? */
  isBehind(reader: Reader): boolean {
    return this.#partOf.get(reader)?.apart.has(reader) === true;
  }

  close(): void {
    this.#closed = true;
  }

  #soon(): void {
    if (this.#isScheduled || this.#closed) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#start();
    });
  }

  #start(): void {
    const unknown = new Set<string>();
    const nodes = new Set<number>();
    for (const part of this.#parts.values()) {
      const leader = this.#cluster.leader(part.topic, part.partition);
      if (leader === undefined) unknown.add(part.topic);
      else nodes.add(leader);
    }
    for (const node of nodes) {
      this.#run(node, "look");
      this.#run(node, "tail");
    }
    if (unknown.size > 0) this.#find([...unknown]);
  }

  #find(topics: readonly string[]): void {
    if (this.#closed) return;
    const again = (): void => void this.#cluster.clock.setTimer(PAUSE_MS, () => this.#soon());
    this.#cluster
      .refresh(topics)
      .then(() => (this.#isUnled(new Set(topics)) ? again() : this.#soon()), again);
  }

  /** Is there a partition of these that nobody can be asked for? */
  #isUnled(topics: ReadonlySet<string>): boolean {
    for (const { topic, partition } of this.#parts.values())
      if (topics.has(topic) && this.#cluster.leader(topic, partition) === undefined) return true;
    return false;
  }

  #run(node: number, role: Role & ("tail" | "look")): void {
    const name = `${node}/${role}`;
    if (this.#running.has(name)) return;
    this.#running.add(name);
    void this.#loop(node, role).finally(() => {
      this.#running.delete(name);
      // Something may have come between its last look and its end.
      if (!this.#closed && this.#asks(node, role).length > 0) this.#run(node, role);
    });
  }

  async #loop(node: number, role: "tail" | "look"): Promise<void> {
    let asks: readonly Ask[] = [];
    for (;;) {
      // Another node leads by now what this one was asked for, and nobody else may know.
      if (asks.some(({ part }) => this.#cluster.leader(part.topic, part.partition) !== node)) this.#soon();
      asks = this.#asks(node, role);
      if (asks.length === 0 || this.#closed) return;
      const isApart =
        role === "look" && asks.some(({ part, from }) => part.along.size === 0 || from !== part.tail);
      const waitMs = role === "tail" ? WAIT_MS : isApart ? 0 : SHORT_WAIT_MS;
      if (role === "tail") this.#covered.set(node, new Set(asks.map(({ part }) => part)));
      const isFine = await this.#fetch(node, role, asks, waitMs);
      if (role === "tail") {
        this.#covered.delete(node);
        this.#soon();
      }
      if (!isFine) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#cluster.clock.setTimer(PAUSE_MS, resolve));
  }

  /** What is to be asked of a node. */
  #asks(node: number, role: "tail" | "look"): Ask[] {
    const asks: Ask[] = [];
    const covered = this.#covered.get(node);
    for (const part of this.#parts.values()) {
      if (this.#cluster.leader(part.topic, part.partition) !== node) continue;
      if (role === "tail") {
        if (part.along.size > 0) asks.push({ part, from: part.tail });
        continue;
      }
      let from = Infinity;
      for (const reader of part.apart) if (reader.wants && reader.position < from) from = reader.position;
      if (from !== Infinity) asks.push({ part, from });
      else if (covered !== undefined && part.along.size > 0 && !covered.has(part))
        asks.push({ part, from: part.tail });
    }
    return asks;
  }

  async #fetch(node: number, role: "tail" | "look", asks: readonly Ask[], waitMs: number): Promise<boolean> {
    const byId = new Map<string, Map<number, Ask>>();
    for (const ask of asks) {
      const id = this.#cluster.topic(ask.part.topic)?.id;
      if (id === undefined) continue;
      if (ask.part.topicId !== id) this.#isAnother(ask.part, id);
      const same = byId.get(id);
      if (same === undefined) byId.set(id, new Map([[ask.part.partition, ask]]));
      else same.set(ask.part.partition, ask);
    }
    const topics = [...byId].map(([topicId, parts]) => ({
      topicId,
      partitions: [...parts.values()].map(({ part, from }) => ({
        partition: part.partition,
        currentLeaderEpoch: -1,
        fetchOffset: BigInt(from),
        lastFetchedEpoch: -1,
        partitionMaxBytes: PART_BYTES,
      })),
    }));
    let answer: FetchAnswer | undefined;
    try {
      answer = await this.#cluster.call(
        node,
        role,
        this.#api,
        waitMs,
        1,
        REQUEST_BYTES,
        COMMITTED,
        0,
        -1,
        topics,
        [],
        "",
      );
    } catch {
      // It is asked again, where the cluster says then.
    }
    if (this.#closed) return false;
    if (answer === undefined) {
      this.#find([...new Set(asks.map(({ part }) => part.topic))]);
      return false;
    }
    let isFine = answer.errorCode === 0;
    for (const { topicId, partitions } of answer.topics)
      for (const one of partitions) {
        const ask = byId.get(topicId)?.get(one.partitionIndex);
        if (ask !== undefined && !this.#read(ask, one, role)) isFine = false;
      }
    if (answer.errorCode !== 0) this.#find([...new Set(asks.map(({ part }) => part.topic))]);
    return isFine;
  }

  /** False: it is to be asked again after a pause. */
  #read(ask: Ask, one: FetchedPart, role: "tail" | "look"): boolean {
    const { part, from } = ask;
    if (one.errorCode === KAFKA.OFFSET_OUT_OF_RANGE) void this.#outOfRange(part);
    else if (one.errorCode !== 0) this.#find([part.topic]);
    if (one.errorCode !== 0) return false;
    let portion: Portion;
    try {
      portion = portionOf(this.#cluster.kafka, one, from);
    } catch (error) {
      emit("fault", () => ({
        agent: "",
        error: toHeraldError(error),
        where: `kafka records of ${part.topic}`,
      }));
      return false;
    }
    if (role === "tail" || (part.along.size > 0 && from === part.tail)) this.#forAll(part, from, portion);
    this.#forApart(part, from, portion);
    return true;
  }

  /** For those who read along. */
  #forAll(part: Part, from: number, { records, next }: Portion): void {
    if (from !== part.tail) return;
    const touched = new Set<Reader>();
    for (const record of records)
      for (const reader of part.readersOf(record)) {
        if (record.offset < reader.position) continue;
        if (take(reader, record)) touched.add(reader);
        else {
          part.detach(reader);
          reader.position = record.offset;
        }
      }
    for (const reader of part.along)
      if (reader.channel === undefined && reader.position < next) {
        // There may have been no record: a mark of a transaction, or what was given up.
        reader.position = next;
        touched.add(reader);
      }
    part.tail = Math.max(part.tail, next);
    for (const reader of touched) reader.taken();
  }

  /** For those who are elsewhere. Whoever has come to where everybody reads, reads along. */
  #forApart(part: Part, from: number, { records, next }: Portion): void {
    for (const reader of part.apart) {
      if (reader.position < from || !reader.wants) continue;
      const before = reader.position;
      let isFull = false;
      for (const record of records) {
        if (record.offset < reader.position) continue;
        if (reader.channel !== undefined && record.channel !== reader.channel) continue;
        if (!take(reader, record)) {
          isFull = true;
          reader.position = record.offset;
          break;
        }
      }
      if (!isFull && reader.position < next) reader.position = next;
      if (reader.position > before) reader.taken();
      if (isFull) continue;
      if (part.along.size === 0) part.tail = reader.position;
      if (reader.position >= part.tail) {
        part.attach(reader);
        this.#soon();
      }
    }
  }

  /** A topic of the same name, made anew. */
  #isAnother(part: Part, id: string): void {
    const isFirst = part.topicId === "";
    part.topicId = id;
    if (isFirst) return;
    for (const reader of [...part.along, ...part.apart]) {
      part.detach(reader);
      reader.position = 0;
      reader.lost(null);
    }
    part.tail = 0;
  }

  /** Retention, or an operator, has removed what was to be read next. */
  async #outOfRange(part: Part): Promise<void> {
    let ends: { readonly start: number; readonly end: number };
    try {
      ends = await endsOf(this.#cluster, part.topic, part.partition);
    } catch {
      return;
    }
    for (const reader of [...part.along, ...part.apart]) {
      const place = this.placeOf(reader);
      if (place >= ends.start && place <= ends.end) continue;
      part.detach(reader);
      const isBehind = place < ends.start;
      reader.position = ends.start;
      reader.lost(isBehind ? ends.start - place : null);
    }
    if (part.along.size === 0) part.tail = ends.start;
    this.#soon();
  }
}

function take(reader: Reader, record: Fetched): boolean {
  if (!reader.wants || !reader.take(record)) return false;
  reader.position = record.offset + 1;
  return true;
}
