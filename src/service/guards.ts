/// <reference lib="esnext.disposable" preserve="true" />
import { createHash } from "node:crypto";
import type * as Cockatiel from "cockatiel";
import { peer } from "../codec/peer.ts";
import type { Broker } from "../core/broker.ts";
import { systemClock } from "../core/clock.ts";
import { HeraldError, showValue, SnoozeError, toHeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Middleware } from "../core/middleware.ts";
import type { DeadLetters, DeadLetterStats } from "../delivery/dead-letters.ts";
import type { Provenance } from "../patterns/provenance.ts";
import { ready, release, type Link } from "../patterns/messaging.ts";
import { RateLimit } from "../patterns/work-queue/rate-limit.ts";
import type { RateLimitOptions } from "../patterns/work-queue/options.ts";
import { aboveZero, checkOptions, notNegative, whole, wrongOption } from "./check-options.ts";
import { linkTo } from "./link.ts";
import { MessagingService } from "./service.ts";

export { RetryHandler, type RetryContext } from "../patterns/retry-handler.ts";
export type { RequestRetryOptions as RetryHandlerOptions } from "../patterns/conversation.ts";
export type { DeadLetterStats, Provenance, RateLimitOptions };

/** How many handlers may run behind one bulkhead. */
export interface BulkheadOptions {
  readonly maxConcurrent: number;
  /** How many more may wait for their turn, each holding its slot. Default 0. */
  readonly maxWaiting?: number;
  /** How soon a message comes back, uncounted, for which there was no room. Default 1000. */
  readonly delayMs?: number;
}

const loadCockatiel = peer("cockatiel", "A bulkhead") as () => typeof Cockatiel;

/**
 * A middleware behind which at most so many handlers run at the same time, over all subscriptions and services that it is
 * given to: what depends on one slow thing leaves room for the rest. A message without room is given back, uncounted.
 * Throws `INVALID_ARGUMENT` naming the field, `UNSUPPORTED` without the package `cockatiel`.
 */
export function bulkhead(options: BulkheadOptions): Middleware {
  checkOptions(options);
  const { maxConcurrent, maxWaiting = 0, delayMs = 1000 } = options;
  whole("maxConcurrent", maxConcurrent);
  if (maxWaiting !== 0) whole("maxWaiting", maxWaiting);
  notNegative("delayMs", delayMs);
  const { bulkhead: create, BulkheadRejectedError } = loadCockatiel();
  const policy = create(maxConcurrent, maxWaiting);
  return async (_message, { signal }, next) => {
    try {
      return await policy.execute(next, signal);
    } catch (error) {
      throw error instanceof BulkheadRejectedError ? new SnoozeError(delayMs) : error;
    }
  };
}

/** What a rate limit of all processes stands on. */
export interface RateLimitScope {
  /** A running service, whose broker recognises ids published again (`dedupe`). */
  readonly service: MessagingService;
  /** Whoever names the same limit shares it: a channel name. */
  readonly name: string;
}

/**
 * A middleware behind which at most `max` handlers start in each window of `perMs` milliseconds: in this process, or, with a
 * scope, in all processes together. Who has no turn waits in its slot, so that the service asks the broker for less.
 * Throws `INVALID_ARGUMENT` naming the field, `UNSUPPORTED` where the broker recognises no ids.
 */
export function rateLimit(options: RateLimitOptions, scope?: RateLimitScope): Middleware {
  checkOptions(options);
  const clock = scope?.service.clock ?? systemClock;
  const limit = new RateLimit(clock, options, claimOf(options, scope));
  return async (_message, _context, next) => {
    await limit.turn();
    return next();
  };
}

function claimOf({ perMs }: RateLimitOptions, scope: RateLimitScope | undefined) {
  if (scope === undefined) return () => Promise.resolve(true);
  const { service, name } = scope;
  const channel = `${name}.turns`;
  service.broker.require("dedupe", channel, "a rate limit");
  const prefix = createHash("sha256").update(name).digest("hex").slice(0, 16);
  const ttlSeconds = (2 * aboveZero("perMs", perMs)) / 1000;
  return (place: string) => service.broker.isFirst(channel, `turn.${prefix}.${place}`, ttlSeconds);
}

/** Where a {@link DeadLetterHandler} keeps what it is given. */
export interface DeadLetterHandlerOptions {
  /** The dead-letter channel. */
  readonly queue: string;
  /** A channel needs neither an exchange nor a routing key: both are taken and change nothing. */
  readonly exchange?: string;
  readonly routingKey?: string;
}

/** One dead-letter channel, looked after by hand: over a service, or over a bare broker, which gets a service of its own. */
export class DeadLetterHandler implements AsyncDisposable {
  readonly #link: Link & { readonly messaging: MessagingService };
  readonly #channel: string;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(over: MessagingService | Broker, options: DeadLetterHandlerOptions) {
    checkOptions(options);
    if (typeof options.queue !== "string" || options.queue === "")
      throw wrongOption("queue", "the name of the dead-letter channel", options.queue);
    this.#link = linkTo(over, "dead-letters");
    this.#channel = options.queue;
  }

  /** Writes the dead letter of a message. Resolves once the broker has it; rejects as `MessagingService.publish` does. */
  async handle(message: Message, error: Error): Promise<void> {
    await (await this.#letters()).add(message, toHeraldError(error, "HANDLER_FAILED"), this.#channel);
  }

  /** Sends one back to whoever gave up on it. `NOT_FOUND` when it is not there. */
  async retry(messageId: string): Promise<void> {
    const letters = await this.#letters();
    const filter = { id: messageId, deadLetterChannel: this.#channel };
    if ((await letters.redrive(filter)) > 0) return;
    const text = `There is no dead letter with the id ${showValue(messageId)} on '${this.#channel}': getFailedMessages() tells what there is.`;
    throw new HeraldError("NOT_FOUND", text, { details: { id: messageId } });
  }

  /** Sends all of them back; resolves when the broker has them. */
  async retryAll(): Promise<void> {
    await (await this.#letters()).redrive({ deadLetterChannel: this.#channel });
  }

  /** The messages as they were, oldest first, at most 1000; those that cannot be decoded are left out. */
  async getFailedMessages(): Promise<Message[]> {
    const entries = await (await this.#letters()).list({ deadLetterChannel: this.#channel });
    return entries.flatMap(({ message }) => message ?? []);
  }

  async getStats(): Promise<DeadLetterStats> {
    return (await this.#letters()).stats({ deadLetterChannel: this.#channel });
  }

  /** Stops the service where it is this object's own. */
  close(): Promise<void> {
    return release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #letters(): Promise<DeadLetters> {
    await ready(this.#link);
    return this.#link.messaging.deadLetters;
  }
}

/** As `service.conversations.verify`: are the messages of a conversation what was published? Names the first that is not. */
export function verifyConversation(service: MessagingService, correlationId: string): Promise<Provenance> {
  return service.conversations.verify(correlationId);
}
