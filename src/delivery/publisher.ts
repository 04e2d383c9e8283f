import type { Breaker } from "../core/breaker.ts";
import type { Broker, PublishResult } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import { Deadlines } from "../core/deadlines.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError, toHeraldError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { ChannelCounters, Meter } from "../core/meter.ts";
import { soon } from "./soon.ts";

/** What a publisher needs. */
export interface PublisherOptions {
  readonly broker: Broker;
  readonly agentId: string;
  readonly clock: Clock;
  readonly meter: Meter;
  /** Most envelopes of one broker call. */
  readonly maxBatch: number;
  /** A batch that the broker has not answered by then rejects with `TIMEOUT`. */
  readonly publishTimeoutMs: number;
  /** Most publishes that wait for their answer; one more rejects with `OVERLOADED`. */
  readonly maxPending: number;
  /** While it is open a publish rejects with `CIRCUIT_OPEN` at once. */
  readonly breaker?: Breaker | undefined;
}

/** What an accepted publish came to. */
export type Published = Extract<PublishResult, { readonly ok: true }>;

/** One publish that waits for its answer. A class for the reason that {@link EnvelopeDraft} is one. */
class Pending {
  readonly envelope: Envelope;
  readonly want: Want;
  readonly resolve: (value: Published | string) => void;
  readonly reject: (error: HeraldError) => void;

  constructor(
    envelope: Envelope,
    want: Want,
    resolve: (value: Published | string) => void,
    reject: (error: HeraldError) => void,
  ) {
    this.envelope = envelope;
    this.want = want;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** How an envelope is to be published, and what its caller wants to know. */
interface Want {
  readonly dedupe: boolean;
  /** True: what it came to; false: the id is enough, and costs no second promise. */
  readonly detailed: boolean;
}

const WANTS = {
  id: { dedupe: false, detailed: false },
  idOnce: { dedupe: true, detailed: false },
  detail: { dedupe: false, detailed: true },
  detailOnce: { dedupe: true, detailed: true },
} as const;

interface Batch {
  readonly items: Pending[];
  open: boolean;
}

/** Collects what is published in one tick into one call of the broker; every publish has a promise of its own. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #deadlines: Deadlines<Batch>;
  readonly #flushSoon = (): void => this.#flush();
  #queue: Pending[] = [];
  #pending = 0;
  #idle: (() => void)[] = [];
  #counters: ChannelCounters | undefined;
  #channel = "";

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(options.clock, (batch) => this.#timeOut(batch));
  }

  /** Publishes that wait for their answer. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * Resolves with the id once the broker has the envelope at its durability. Rejects with the broker's error, `TIMEOUT` when the
   * outcome is unknown (publish again with the same id), or `OVERLOADED` when too many wait.
   */
  publish(envelope: Envelope, dedupe: boolean): Promise<string> {
    return this.#add(envelope, dedupe ? WANTS.idOnce : WANTS.id) as Promise<string>;
  }

  /** As {@link publish}, resolving with what the broker said of it. */
  send(envelope: Envelope, dedupe: boolean): Promise<Published> {
    return this.#add(envelope, dedupe ? WANTS.detailOnce : WANTS.detail) as Promise<Published>;
  }

  /** Runs a commit that publishes these: behind the same circuit breaker, counted and told of as other publishes are. */
  async commit(envelopes: readonly Envelope[], commit: () => Promise<void>): Promise<void> {
    if (envelopes.length === 0) return commit();
    const { breaker, agentId } = this.#options;
    if (breaker !== undefined && !breaker.admit()) throw breaker.refusal();
    try {
      await commit();
    } catch (thrown) {
      const error = toHeraldError(thrown);
      this.#judge([{ ok: false, error }]);
      // Nothing failed where somebody was faster: the message is tried again.
      if (error.code !== "CONFLICT")
        for (const { channel } of envelopes) this.#countersOf(channel).publishFailed++;
      throw error;
    }
    const results = envelopes.map(() => COMMITTED);
    this.#judge(results);
    for (const { channel } of envelopes) this.#countersOf(channel).published++;
    emit("published", () => ({ agent: agentId, envelopes, results }));
  }

  /** Resolves when no publish waits for its answer. */
  idle(): Promise<void> {
    return this.#pending === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Waits for the publishes that are on their way, each at most for its time limit, and leaves no timer behind. */
  async close(): Promise<void> {
    await this.idle();
    this.#deadlines.clear();
  }

  #add(envelope: Envelope, want: Want): Promise<Published | string> {
    if (this.#pending >= this.#options.maxPending)
      return Promise.reject(overloaded(this.#options.maxPending));
    const { breaker } = this.#options;
    if (breaker !== undefined && !breaker.admit()) return Promise.reject(breaker.refusal());
    this.#pending++;
    return new Promise((resolve, reject) => {
      if (this.#queue.length === 0) soon(this.#flushSoon);
      this.#queue.push(new Pending(envelope, want, resolve, reject));
    });
  }

  #flush(): void {
    const queue = this.#queue;
    this.#queue = [];
    let from = 0;
    for (let i = 1; i <= queue.length; i++) {
      // A batch is a run of neighbours with the same options: their order is kept.
      const ends =
        i === queue.length ||
        i - from === this.#options.maxBatch ||
        queue[i]?.want.dedupe !== queue[from]?.want.dedupe;
      if (!ends) continue;
      void this.#send({ items: from === 0 && i === queue.length ? queue : queue.slice(from, i), open: true });
      from = i;
    }
  }

  async #send(batch: Batch): Promise<void> {
    const envelopes = batch.items.map((item) => item.envelope);
    const deadline = this.#deadlines.add(this.#options.publishTimeoutMs, batch);
    try {
      const results = await this.#options.broker.publish(
        envelopes,
        batch.items[0]?.want.dedupe === true ? DEDUPE : undefined,
      );
      if (batch.open) this.#settle(batch, results);
    } catch (error) {
      if (batch.open) this.#fail(batch, toHeraldError(error));
    }
    this.#deadlines.cancel(deadline);
  }

  #settle(batch: Batch, results: readonly PublishResult[]): void {
    this.#judge(results);
    for (let i = 0; i < batch.items.length; i++) {
      const item = batch.items[i] as Pending;
      const result = results[i] ?? { ok: false, error: noAnswer() };
      const counters = this.#countersOf(item.envelope.channel);
      if (result.ok) {
        counters.published++;
        if (result.deduplicated) counters.duplicates++;
        item.resolve(item.want.detailed ? result : item.envelope.id);
      } else {
        counters.publishFailed++;
        item.reject(result.error);
      }
    }
    emit("published", () => ({
      agent: this.#options.agentId,
      envelopes: batch.items.map((item) => item.envelope),
      results,
    }));
    this.#close(batch);
  }

  #fail(batch: Batch, error: HeraldError): void {
    this.#judge([{ ok: false, error }]);
    for (const item of batch.items) {
      this.#countersOf(item.envelope.channel).publishFailed++;
      item.reject(error);
    }
    this.#close(batch);
  }

  /** One envelope that went says that the broker works; one that cannot be taken says nothing. */
  #judge(results: readonly PublishResult[]): void {
    const { breaker } = this.#options;
    if (breaker === undefined) return;
    if (results.some(({ ok }) => ok)) {
      breaker.succeeded();
      return;
    }
    const outage = results.find((result) => !result.ok && OUTAGE.has(result.error.code));
    if (outage?.ok === false) breaker.failed(outage.error);
    else breaker.undecided();
  }

  #timeOut(batch: Batch): void {
    if (batch.open) this.#fail(batch, unknownOutcome(this.#options.publishTimeoutMs));
  }

  #close(batch: Batch): void {
    batch.open = false;
    this.#pending -= batch.items.length;
    // Should the array have grown old meanwhile, it must not keep what it held alive.
    batch.items.fill(NOTHING);
    if (this.#pending > 0 || this.#idle.length === 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #countersOf(channel: string): ChannelCounters {
    if (this.#counters === undefined || channel !== this.#channel) {
      this.#channel = channel;
      this.#counters = this.#options.meter.channel(channel);
    }
    return this.#counters;
  }
}

/** Codes of a broker that is away or unwell: nothing is wrong with what it was given. */
const OUTAGE: ReadonlySet<string> = new Set([
  "NOT_CONNECTED",
  "TIMEOUT",
  "PUBLISH_UNKNOWN",
  "STORAGE_FULL",
  "STORAGE_GONE",
  "UNAUTHENTICATED",
  "INTERNAL",
]);
const NOTHING = undefined as unknown as Pending;
const DEDUPE = { dedupe: true } as const;
/** A commit does not say where. */
const COMMITTED = { ok: true, position: null, deduplicated: false, matched: null } as const;

function overloaded(maxPending: number): HeraldError {
  const message = `${maxPending} publishes wait for the broker already: await publish(), or raise maxPendingPublishes.`;
  return new HeraldError("OVERLOADED", message, { details: { maxPending } });
}

function unknownOutcome(timeoutMs: number): HeraldError {
  const message = `The broker did not answer within ${timeoutMs} ms; the message may be stored. Publish again with the same id and dedupe: true.`;
  return new HeraldError("TIMEOUT", message, { details: { timeoutMs } });
}

function noAnswer(): HeraldError {
  return new HeraldError(
    "INTERNAL",
    "The broker answered for fewer envelopes than it was given: report this as a bug of the broker.",
  );
}
