import type { Commit } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { inboxKey } from "../../core/inbox-limits.ts";
import type { Cluster } from "./cluster.ts";
import type { RecordToWrite } from "./codec.ts";
import {
  codesOf,
  KAFKA,
  kafkaError,
  Leaderless,
  mayAskAgain,
  takenOver,
  unknownOutcome,
  wasAnswered,
} from "./errors.ts";
import { inboxTopic } from "./names.ts";
import type { Publisher } from "./publisher.ts";
import { TransactionalProducer } from "./transactional-producer.ts";

/** What transactions are made with. */
export interface TransactorParts {
  readonly cluster: Cluster;
  readonly publisher: Publisher;
  /** Has it taken effect, wherever? Every transaction that was under way before this call has ended then. */
  isHandled(scope: string, id: string): Promise<boolean>;
}

/** Whose messages are committed: what one group has of one partition. */
export interface Source {
  readonly kafkaGroup: string;
  readonly topic: string;
  readonly partition: number;
  /** Another process has it, or nobody here. */
  readonly isEnded: boolean;
}

/** One commit that waits for its transaction. */
interface Waiting {
  readonly inbox: Commit["inbox"];
  readonly records: readonly RecordToWrite[];
  readonly resolve: () => void;
  readonly reject: (error: HeraldError) => void;
}

/** The transactions of one source, one at a time. */
interface Line {
  readonly source: Source;
  readonly id: string;
  readonly waiting: Waiting[];
  producer: TransactionalProducer | undefined;
  isRunning: boolean;
}

const RETRY_MS = 50;
/** Commits of one transaction. */
const MOST = 100;
const NOTHING = Buffer.alloc(0);
/** The producer is of no use any more, or the transaction was given up: nothing of it counts, and another may be begun. */
const BEGIN_AGAIN = new Set<number>([
  KAFKA.REQUEST_TIMED_OUT,
  KAFKA.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  KAFKA.OUT_OF_ORDER_SEQUENCE_NUMBER,
  KAFKA.DUPLICATE_SEQUENCE_NUMBER,
  KAFKA.INVALID_PRODUCER_EPOCH,
  KAFKA.INVALID_TXN_STATE,
  KAFKA.INVALID_PRODUCER_ID_MAPPING,
  KAFKA.CONCURRENT_TRANSACTIONS,
  KAFKA.UNKNOWN_PRODUCER_ID,
  KAFKA.PRODUCER_FENCED,
  KAFKA.TRANSACTION_ABORTABLE,
]);

/**
 * What a handler publishes and the record that its message was handled, in one Kafka transaction (KIP-98, KIP-447's fencing by
 * source instead of by process): both or neither, whoever dies when. The place of the group follows; a crash before it brings
 * the message again, and the record says that it was handled. Commits of one source that wait together go together.
 */
export class Transactor {
  readonly #parts: TransactorParts;
  readonly #lines = new WeakMap<Source, Line>();

  constructor(parts: TransactorParts) {
    this.#parts = parts;
  }

  /** Resolves when it has taken effect, by this call or before it. Rejects with what a publish rejects with. */
  async commit(source: Source, { inbox, envelopes }: Commit): Promise<void> {
    const { cluster, publisher } = this.#parts;
    const record: RecordToWrite = {
      topic: inboxTopic(cluster.settings.namespace),
      partition: 0,
      key: Buffer.from(inboxKey(inbox.scope, inbox.id), "utf8"),
      value: NOTHING,
      headers: [],
      timestamp: Math.floor(cluster.clock.now()),
    };
    let records: readonly RecordToWrite[];
    try {
      records = [...(await publisher.recordsOf(envelopes)), record];
    } catch (error) {
      throw kafkaError(error);
    }
    const line = this.#line(source);
    await new Promise<void>((resolve, reject) => {
      line.waiting.push({ inbox, records, resolve, reject });
      if (!line.isRunning) void this.#run(line);
    });
  }

  #line(source: Source): Line {
    let line = this.#lines.get(source);
    if (line === undefined) {
      const id = `${source.kafkaGroup} ${source.topic} ${source.partition}`;
      line = { source, id, waiting: [], producer: undefined, isRunning: false };
      this.#lines.set(source, line);
    }
    return line;
  }

  async #run(line: Line): Promise<void> {
    line.isRunning = true;
    while (line.waiting.length > 0) await this.#carry(line, line.waiting.splice(0, MOST));
    line.isRunning = false;
  }

  /** Tried until Kafka says what became of it, or for as long as a publish is. Never rejects. */
  async #carry(line: Line, commits: readonly Waiting[]): Promise<void> {
    const { cluster } = this.#parts;
    const endsAt = cluster.clock.monotonic() + cluster.settings.publishTimeoutMs;
    let left = commits;
    for (;;) {
      try {
        line.producer ??= await TransactionalProducer.begin(cluster, line.id);
        left = await this.#unhandled(left);
        if (left.length > 0) await line.producer.write(left.flatMap(({ records }) => records));
        for (const { resolve } of left) resolve();
        return;
      } catch (error) {
        line.producer = undefined;
        this.#refresh(left);
        if (line.source.isEnded) {
          for (const { reject } of left) reject(takenOver());
          return;
        }
        const isOver = cluster.isClosed || cluster.clock.monotonic() >= endsAt;
        if (!isOver && mayBeginAgain(error)) {
          await new Promise<void>((resolve) => void cluster.clock.setTimer(RETRY_MS, resolve));
          continue;
        }
        // What is wrong with one is no reason to refuse the others.
        if (!isOver && left.length > 1) for (const one of left) await this.#carry(line, [one]);
        else for (const { reject } of left) reject(isOver ? unknownOutcome(error) : kafkaError(error));
        return;
      }
    }
  }

  /** Those that have not taken effect. From the others nothing is written: somebody had them before, or the answer was lost. */
  async #unhandled(commits: readonly Waiting[]): Promise<readonly Waiting[]> {
    const known = await Promise.all(commits.map(({ inbox }) => this.#parts.isHandled(inbox.scope, inbox.id)));
    for (const [at, isHandled] of known.entries()) if (isHandled) commits[at]?.resolve();
    return commits.filter((_commit, at) => known[at] === false);
  }

  /** Whoever tries again asks where the partitions lie by then. */
  #refresh(commits: readonly Waiting[]): void {
    const topics = new Set(commits.flatMap(({ records }) => records.map(({ topic }) => topic)));
    this.#parts.cluster.refresh([...topics]).catch(() => undefined);
  }
}

function mayBeginAgain(error: unknown): boolean {
  if (error instanceof Leaderless || !wasAnswered(error)) return true;
  return mayAskAgain(error) || codesOf(error).every((code) => BEGIN_AGAIN.has(code));
}
