import type { HeraldError } from "../../core/errors.ts";
import { PublishCall } from "./call.ts";
import type { Cluster } from "./cluster.ts";
import { closedError, kafkaError } from "./errors.ts";
import type { Fetched } from "./fetched.ts";
import type { Fetcher } from "./fetcher.ts";
import { latestOf, writtenEndOf } from "./offsets.ts";
import { parsePosition } from "./position.ts";
import type { Producer } from "./producer.ts";
import type { Reader } from "./reader.ts";
import { createTopics } from "./topics.ts";

/** What a log is read and written with. */
export interface LogParts {
  readonly cluster: Cluster;
  readonly fetcher: Fetcher;
  readonly producer: Producer;
}

const RETRY_MS = 100;
/** About what a record costs beside its key and value. */
const OVERHEAD_BYTES = 100;

/** A topic of one partition that every process of a namespace reads, and may write to. All see the same order. */
export class SharedLog implements Reader {
  readonly topic: string;
  readonly partition = 0;
  readonly channel = undefined;
  readonly wants = true;
  position = 0;
  readonly #parts: LogParts;
  readonly #onRecord: (record: Fetched) => void;
  #waiting: {
    readonly offset: number;
    readonly resolve: () => void;
    readonly reject: (error: HeraldError) => void;
  }[] = [];
  #closed: HeraldError | undefined;

  /** `onRecord` is told of every record that is read, in their order. */
  constructor(parts: LogParts, topic: string, onRecord: (record: Fetched) => void) {
    this.#parts = parts;
    this.topic = topic;
    this.#onRecord = onRecord;
  }

  /** Makes its topic unless it is there. */
  async make(config: Readonly<Record<string, string>>): Promise<void> {
    const { cluster } = this.#parts;
    await cluster.refresh([this.topic]);
    if (cluster.topic(this.topic) === undefined)
      await createTopics(cluster, [{ name: this.topic, partitions: 1, config }]);
  }

  /** Reads it from an offset on; resolves once everything is known that was written before. */
  async read(from: number): Promise<void> {
    this.position = from;
    this.#parts.fetcher.add(this);
    await this.caughtUp();
  }

  /** Resolves once everything is known that was written before this call; what lies in a transaction is written when that ends. */
  caughtUp(): Promise<void> {
    return this.#reached(async () => (await latestOf(this.#parts.cluster, this.topic)).get(0) ?? 0);
  }

  /** As {@link caughtUp}, and every transaction that was under way before this call has ended. */
  settled(): Promise<void> {
    return this.#reached(() => writtenEndOf(this.#parts.cluster, this.topic));
  }

  async #reached(endOf: () => Promise<number>): Promise<void> {
    const { cluster } = this.#parts;
    const endsAt = cluster.clock.monotonic() + cluster.settings.publishTimeoutMs;
    for (;;) {
      try {
        return await this.#until(await endOf());
      } catch (error) {
        if (cluster.isClosed) throw closedError();
        if (cluster.clock.monotonic() >= endsAt) throw kafkaError(error);
        await new Promise<void>((resolve) => void cluster.clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  /** Writes entries; resolves when they are known here. Rejects when one was not stored. */
  async put(entries: readonly (readonly [key: string, value: Buffer | null])[]): Promise<void> {
    if (entries.length === 0) return;
    const call = new PublishCall(entries.length);
    const { clock, settings } = this.#parts.cluster;
    const endsAt = clock.monotonic() + settings.publishTimeoutMs;
    for (const [at, [key, value]] of entries.entries()) {
      const record = {
        topic: this.topic,
        partition: 0,
        key: Buffer.from(key, "utf8"),
        value,
        headers: [],
        timestamp: Math.floor(clock.now()),
      };
      const bytes = key.length + (value?.length ?? 0) + OVERHEAD_BYTES;
      this.#parts.producer.add({ record, bytes, call, at, endsAt });
    }
    let last = 0;
    for (const result of await call.done) {
      if (!result.ok) throw result.error;
      const offset = parsePosition(result.position ?? "")?.offset;
      if (offset === undefined) return this.caughtUp();
      last = Math.max(last, offset + 1);
    }
    await this.#until(last);
  }

  take(record: Fetched): boolean {
    this.#onRecord(record);
    return true;
  }

  taken(): void {
    this.#wake();
  }

  lost(): void {
    // Whatever was compacted away has been written again since, and what is too old is of no interest.
    this.#wake();
  }

  /** Whoever waits hears this error. */
  close(error: HeraldError): void {
    this.#closed = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #wake(): void {
    const due = this.#waiting.filter(({ offset }) => offset <= this.position);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter(({ offset }) => offset > this.position);
    for (const { resolve } of due) resolve();
  }

  #until(offset: number): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (offset <= this.position) return Promise.resolve();
    const { clock, settings } = this.#parts.cluster;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(settings.publishTimeoutMs, () => reject(kafkaError(undefined)));
      this.#waiting.push({
        offset,
        resolve: () => {
          timer.cancel();
          resolve();
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      });
    });
  }
}
