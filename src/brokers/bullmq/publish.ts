import type { RedisClientType } from "@redis/client";
import type { JobJson, JobsOptions, RedisQueueBackend } from "bullmq";
import type { PublishResult } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { checkChannel } from "../../core/pattern.ts";
import { publishError, unknownPublish } from "./errors.ts";
import { encodeData, neverEarly } from "./job-data.ts";
import { jobIdOf, retainedQueue } from "./names.ts";
import type { BullMQSettings } from "./options.ts";
import type { Registry } from "./registry.ts";

/** What publishing needs of its broker. */
export interface PublishHost {
  readonly redis: RedisClientType;
  readonly registry: Registry;
  readonly settings: BullMQSettings;
  readonly queue: (name: string) => RedisQueueBackend;
  /** A queue that is no longer registered got jobs. */
  readonly discard: (queue: string) => Promise<void>;
}

/** One envelope on its way into every queue that it belongs to. */
class Outgoing {
  readonly envelope: Envelope;
  readonly data: string;
  readonly jobId: string;
  /** By queue: was it there before? */
  readonly added = new Map<string, Promise<boolean>>();
  /** Why it is not known whether everybody got it. */
  doubt: unknown = undefined;

  constructor(envelope: Envelope) {
    this.envelope = envelope;
    this.data = encodeData(envelope);
    this.jobId = jobIdOf(envelope.id);
  }
}

/** When jobs of a queue are due: 0 for those that are now. */
export type Due = Map<string, number>;

/** One batch of envelopes: checked, added to every queue that they belong to, and answered for one by one. */
export class Publishing {
  readonly #host: PublishHost;
  readonly #dedupe: boolean;
  readonly due: Due = new Map();

  constructor(host: PublishHost, dedupe: boolean) {
    this.#host = host;
    this.#dedupe = dedupe;
  }

  async publish(envelopes: readonly Envelope[]): Promise<readonly PublishResult[]> {
    const { registry } = this.#host;
    const prepared = envelopes.map((envelope) => this.#prepare(envelope));
    const outgoing = prepared.filter((one) => one instanceof Outgoing);
    if (outgoing.length > 0) {
      const asked = registry.askVersion();
      // What is known here may be renewed before the answer comes: it is these routes that the answer is about.
      const routed = registry.version;
      const known = registry.know(outgoing.map(({ envelope }) => envelope.channel));
      for (const one of outgoing) this.#send(one);
      await Promise.allSettled([known, ...outgoing.flatMap(({ added }) => [...added.values()])]);
      await this.#followUp(outgoing, { routed, asked });
    }
    return Promise.all(prepared.map(async (one) => (one instanceof Outgoing ? this.#result(one) : one)));
  }

  #prepare(envelope: Envelope): Outgoing | PublishResult {
    const { maxBodyBytes } = this.#host.settings;
    try {
      checkChannel(envelope.channel);
      if (envelope.body.byteLength > maxBodyBytes) throw bodyTooLarge(envelope.body.byteLength, maxBodyBytes);
      return new Outgoing(envelope);
    } catch (error) {
      return { ok: false, error: toHeraldError(error) };
    }
  }

  /** Somebody subscribed or left between what is known here and now: those who came get it, what went is cleared away. */
  async #followUp(
    outgoing: readonly Outgoing[],
    versions: { readonly routed: string; readonly asked: Promise<string> },
  ): Promise<void> {
    const { registry } = this.#host;
    try {
      const version = await versions.asked;
      if (version === versions.routed) return;
      await registry.refresh(version);
    } catch (error) {
      for (const one of outgoing) one.doubt = error;
      return;
    }
    const registered = new Set(registry.queues.map(({ queue }) => queue));
    const gone = new Set<string>();
    for (const one of outgoing) {
      this.#send(one);
      for (const queue of one.added.keys()) {
        if (registered.has(queue) || queue === retainedQueue(one.envelope.channel)) continue;
        gone.add(queue);
        one.added.delete(queue);
      }
    }
    await Promise.allSettled([
      ...outgoing.flatMap(({ added }) => [...added.values()]),
      ...[...gone].map((queue) => this.#host.discard(queue)),
    ]);
  }

  #send(one: Outgoing): void {
    const { registry } = this.#host;
    const { channel } = one.envelope;
    for (const { queue } of registry.route(channel)) this.#addOnce(one, queue, true);
    if (registry.retained.get(channel) !== undefined) this.#addOnce(one, retainedQueue(channel), false);
  }

  #addOnce(one: Outgoing, queue: string, isHandled: boolean): void {
    if (one.added.has(queue)) return;
    const adding = this.#add(one, queue, isHandled);
    adding.catch(() => undefined);
    one.added.set(queue, adding);
  }

  /** True when the job was there before, or its id within the window. */
  async #add(one: Outgoing, queue: string, isHandled: boolean): Promise<boolean> {
    const backend = this.#host.queue(queue);
    const { jobId } = one;
    const keys = [backend.toKey(jobId)];
    if (this.#dedupe) keys.push(`${backend.keys["de"]}:${jobId}`);
    const job = this.#job(one, isHandled);
    const [found] = await Promise.all([this.#host.redis.exists(keys), backend.addJob(job, jobId)]);
    if (found > 0 && !this.#dedupe) await backend.addJob(job, `${jobId}~${createId(job.timestamp)}`);
    return found > 0 && this.#dedupe;
  }

  #job(one: Outgoing, isHandled: boolean): JobJson {
    const { envelope, data, jobId } = one;
    const { dedupeWindowMs, keepCompleted } = this.#host.settings;
    const timestamp = Date.now();
    const delay = isHandled ? delayOf(envelope, timestamp) : 0;
    // BullMQ's 0 is no priority at all, which goes before every other.
    const priority = isHandled ? envelope.priority + 1 : 1;
    const opts: JobsOptions = {
      priority,
      ...(delay > 0 ? { delay } : {}),
      removeOnComplete: keepCompleted === 0 ? true : keepCompleted,
      ...(this.#dedupe ? { deduplication: { id: jobId, ttl: Math.ceil(dedupeWindowMs) } } : {}),
    };
    return {
      id: jobId,
      name: envelope.channel,
      data,
      opts,
      timestamp,
      delay,
      priority,
      progress: 0,
      attemptsMade: 0,
      attemptsStarted: 0,
      stalledCounter: 0,
      failedReason: "",
      returnvalue: "",
      ...(this.#dedupe ? { deduplicationId: jobId } : {}),
    };
  }

  async #result({ envelope, added, doubt }: Outgoing): Promise<PublishResult> {
    const kept = retainedQueue(envelope.channel);
    try {
      let matched = 0;
      let known = 0;
      for (const [queue, adding] of added) {
        if (await adding) known++;
        else if (queue !== kept) {
          matched++;
          this.#note(queue, envelope.deliverAt);
        }
      }
      if (doubt !== undefined) return { ok: false, error: unknownPublish(doubt) };
      return { ok: true, position: null, matched, deduplicated: known > 0 && known === added.size };
    } catch (error) {
      return { ok: false, error: publishError(error) };
    }
  }

  #note(queue: string, deliverAt: number | undefined): void {
    const dueAt = deliverAt === undefined || deliverAt <= Date.now() ? 0 : neverEarly(deliverAt);
    this.due.set(queue, Math.min(this.due.get(queue) ?? Infinity, dueAt));
  }
}

function delayOf({ deliverAt }: Envelope, now: number): number {
  return deliverAt === undefined || deliverAt <= now ? 0 : neverEarly(deliverAt - now);
}
