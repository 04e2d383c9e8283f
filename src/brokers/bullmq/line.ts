import type { RedisQueueBackend } from "bullmq";
import type { Delivery, Failure, Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { isNotOurs } from "./errors.ts";
import { decodeData, decodeFailures, encodeFailures, neverEarly } from "./job-data.ts";
import { channelOf } from "./names.ts";
import type { Registered } from "./registry.ts";

/** What BullMQ answers a fetch with: the job, its id, a rate limit, and when the next delayed job is due. */
type Fetched = readonly [job: FetchedJob | null, id: string, limitMs: number, dueAt: number];

interface FetchedJob {
  readonly name: string;
  readonly data: string;
  readonly timestamp: number;
  readonly attemptsMade: number;
  readonly stalledCounter: number;
  readonly stacktrace?: string;
  readonly opts: { readonly removeOnComplete?: boolean | number | object };
}

/** Somebody who waits for a job of a queue. */
export interface Waiter {
  wake(): void;
}

/** What a queue needs of its broker. */
export interface LineHost {
  /** Calls `wake` of the line at this moment, epoch milliseconds. */
  wakeAt(line: Line, dueAt: number): void;
  /** A token that no other delivery has. */
  token(): string;
  readonly leaseMs: number;
  readonly keepCompleted: number;
}

const MOST_AT_ONCE = 64;

/** One delivery of a job. */
export class BullMQDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly position: string;
  readonly leaseMs: number;
  readonly failures: readonly Failure[];
  readonly receipt: Receipt;

  constructor(envelope: Envelope, job: FetchedJob, receipt: Receipt, leaseMs: number) {
    this.envelope = envelope;
    this.attempt = job.attemptsMade + job.stalledCounter + 1;
    this.position = receipt.jobId;
    this.leaseMs = leaseMs;
    this.failures = decodeFailures(job.stacktrace);
    this.receipt = receipt;
  }
}

/** What BullMQ must be told of a job to end its delivery. */
export class Receipt {
  readonly jobId: string;
  readonly token: string;
  readonly keep: boolean | number | object;
  /** Who holds it; null once it is settled. */
  holder: object | null;
  /** It counts against the prefetch of its holder. */
  takesRoom = true;

  constructor(jobId: string, token: string, keep: boolean | number | object, holder: object) {
    this.jobId = jobId;
    this.token = token;
    this.keep = keep;
    this.holder = holder;
  }
}

/** One queue as this process consumes it, with those who wait for its jobs. */
export class Line {
  readonly registered: Registered;
  readonly backend: RedisQueueBackend;
  readonly members = new Set<object>();
  readonly #host: LineHost;
  readonly #waiters = new Set<Waiter>();
  #wakes = 0;
  #dueAt = Infinity;
  #guess = 1;

  constructor(registered: Registered, backend: RedisQueueBackend, host: LineHost) {
    this.registered = registered;
    this.backend = backend;
    this.#host = host;
  }

  /** Counts calls of {@link wake}: who looked in vain looks again when it has moved meanwhile. */
  get wakes(): number {
    return this.#wakes;
  }

  get isWaitedFor(): boolean {
    return this.#waiters.size > 0;
  }

  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  stopWaiting(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** There may be a job: one of those who wait looks, and wakes the next when there is more. */
  wake(): void {
    this.#wakes++;
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.wake();
      return;
    }
  }

  /** A job is due at this moment, epoch milliseconds. */
  due(dueAt: number): void {
    if (dueAt <= Date.now()) this.wake();
    else if (dueAt < this.#dueAt) {
      this.#dueAt = dueAt;
      this.#host.wakeAt(this, dueAt);
    }
  }

  /** The moment of {@link due} has come. */
  wakeDue(): void {
    this.#dueAt = Infinity;
    this.wake();
  }

  /** At most `most` jobs, in their order. Asks for as many at once as came last time. */
  async fetch(most: number, holder: object): Promise<BullMQDelivery[]> {
    const taken: BullMQDelivery[] = [];
    let size = Math.min(most, this.#guess);
    for (let isMore = true; isMore && taken.length < most;) {
      const tokens = Array.from({ length: size }, () => this.#host.token());
      const replies = await Promise.allSettled(tokens.map((token) => this.backend.moveToActive(token)));
      isMore = this.#take(replies, { tokens, holder, taken });
      size = Math.min(most - taken.length, size * 2, MOST_AT_ONCE);
    }
    this.#guess = Math.min(Math.max(taken.length, 1), MOST_AT_ONCE);
    if (taken.length === most) this.wake();
    return taken;
  }

  /** Ends or extends one delivery. What is not ours any more is left alone. Resolves to when its job is due again. */
  async settle(settlement: Settlement, receipt: Receipt): Promise<number | undefined> {
    try {
      return await this.#settle(settlement, receipt);
    } catch (error) {
      if (isNotOurs(error)) return undefined;
      throw error;
    }
  }

  /** Takes back jobs whose lease is over. */
  async recover(): Promise<void> {
    const stalled = await this.backend.moveStalledJobsToWait();
    if (stalled.length > 0) this.wake();
  }

  async #settle(settlement: Settlement, { jobId, token, keep }: Receipt): Promise<number | undefined> {
    const { backend } = this;
    if (settlement.kind === "extend") {
      await backend.extendLock(jobId, token, Math.ceil(settlement.leaseMs));
      return undefined;
    }
    if (settlement.kind === "ack") {
      const job = { id: jobId, opts: {} } as unknown as Parameters<typeof backend.moveToCompleted>[0];
      await backend.moveToCompleted(job, null, keep as boolean, token, false);
      return undefined;
    }
    const counted = settlement.kind === "nack";
    const fieldsToUpdate = counted ? failureFields(settlement) : undefined;
    const now = Date.now();
    if (settlement.delayMs > 0) {
      const delay = neverEarly(settlement.delayMs);
      const options = { skipAttempt: !counted, ...(fieldsToUpdate === undefined ? {} : { fieldsToUpdate }) };
      await backend.moveToDelayed(jobId, now, delay, token, options);
      return now + delay;
    }
    if (counted)
      await backend.retryJob(jobId, false, token, fieldsToUpdate === undefined ? {} : { fieldsToUpdate });
    else await backend.moveJobFromActiveToWait(jobId, token);
    return now;
  }

  /** False when the queue has no more for now. Throws what went wrong, if nothing came: what did come is handed out. */
  #take(
    replies: readonly PromiseSettledResult<unknown>[],
    { tokens, holder, taken }: { tokens: readonly string[]; holder: object; taken: BullMQDelivery[] },
  ): boolean {
    let isMore = true;
    let failed: PromiseRejectedResult | undefined;
    for (const [at, reply] of replies.entries()) {
      if (reply.status === "rejected") {
        failed = reply;
        continue;
      }
      const [job, id, , dueAt] = reply.value as Fetched;
      if (job === null || job === undefined) {
        isMore = false;
        if (dueAt > 0) this.due(dueAt);
      } else taken.push(this.#delivery(job, id, { token: tokens[at] as string, holder }));
    }
    if (failed === undefined) return isMore;
    if (taken.length === 0) throw failed.reason;
    return false;
  }

  #delivery(job: FetchedJob, id: string, held: { token: string; holder: object }): BullMQDelivery {
    const { pattern, queue } = this.registered;
    const { leaseMs, keepCompleted } = this.#host;
    const keep = job.opts.removeOnComplete ?? (keepCompleted === 0 ? true : keepCompleted);
    const carried = { id, data: job.data, timestamp: job.timestamp };
    const envelope = decodeData(carried, channelOf(pattern, job.name), queue);
    return new BullMQDelivery(envelope, job, new Receipt(id, held.token, keep, held.holder), leaseMs);
  }
}

function failureFields(
  settlement: Settlement & { readonly kind: "nack" },
): Record<string, string> | undefined {
  const { failure, delivery } = settlement;
  if (failure === undefined) return undefined;
  return {
    failedReason: `${failure.code}: ${failure.message}`,
    stacktrace: encodeFailures([...delivery.failures, failure]),
  };
}
