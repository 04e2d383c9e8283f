import type { Clock } from "../core/clock.ts";
import type { Settlement } from "../core/delivery.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import { emit, EVENTS } from "../core/events.ts";
import type { Logger } from "../core/logger.ts";
import type { GroupMeter, Meter } from "../core/meter.ts";
import type { Outcome } from "../core/outcome.ts";
import type { DeliveryContext } from "./context.ts";
import { isDeadLetter, toDeadLetter, toFailure } from "./dead-letter.ts";
import { attemptsFor, type RetryPolicy } from "./retry.ts";

/** How outcomes of one subscription become settlements. */
export interface SettleOptions {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly logger: Logger;
  readonly agentId: string;
  /** Null for a broadcast. */
  readonly group: string | null;
  readonly policy: RetryPolicy;
  /** Where dead letters go; undefined: they are switched off, and given-up messages are counted as discarded. */
  readonly deadLetterChannel: string | undefined;
  /** An expired message goes to the dead letters. */
  readonly expiredToDlq: boolean;
  /** At-most-once: acknowledged before it ran, so nothing is tried again. */
  readonly once: boolean;
  /** Rejects when the broker did not take it. */
  readonly publish: (envelope: Envelope) => Promise<unknown>;
}

/** A message that cannot be dead-lettered stays, and comes back after this long. */
const DLQ_RETRY_MS = 5000;

/** The only place that turns an outcome into a settlement. */
export class Settler {
  readonly #options: SettleOptions;
  readonly #group: string;
  #counters: GroupMeter | undefined;
  #channel = "";

  constructor(options: SettleOptions) {
    this.#options = options;
    this.#group = options.group ?? "";
  }

  /** The counters of this group on a channel; messages of one channel come in runs. */
  counters(channel: string): GroupMeter {
    if (this.#counters === undefined || channel !== this.#channel) {
      this.#channel = channel;
      this.#counters = this.#options.meter.group(channel, this.#group);
    }
    return this.#counters;
  }

  /** The settlement of one run. A promise only when a dead letter must be written first; it never rejects. */
  settle(run: DeliveryContext, outcome: Outcome): Settlement | Promise<Settlement> {
    const settlement = this.#decide(run, outcome);
    if (EVENTS.settled.hasSubscribers)
      emit("settled", () => ({ agent: run.agentId, group: run.group, delivery: run.delivery, outcome }));
    return settlement;
  }

  #decide(run: DeliveryContext, outcome: Outcome): Settlement | Promise<Settlement> {
    const { delivery } = run;
    const counters = this.counters(delivery.envelope.channel);
    switch (outcome.kind) {
      case "handled":
        counters.handled++;
        counters.latency(this.#options.clock.now() - delivery.envelope.time);
        return { kind: "ack", delivery };
      case "skipped":
        if (outcome.reason === "duplicate") counters.duplicates++;
        else if (outcome.reason === "filtered") counters.filtered++;
        return { kind: "ack", delivery };
      case "expired":
        return this.#expired(run, counters);
      case "snoozed":
        counters.snoozed++;
        if (outcome.error !== undefined) {
          counters.failed++;
          counters.retried++;
          this.#report(run, outcome.error);
        }
        if (this.#options.once) counters.discarded++;
        return { kind: "release", delivery, delayMs: outcome.delayMs };
      case "nacked":
        counters.failed++;
        return this.#failed(run, outcome.error, outcome.delayMs);
      case "failed":
        counters.failed++;
        return this.#failed(run, outcome.error);
      case "rejected":
        counters.failed++;
        this.#report(run, outcome.error);
        return this.#giveUp(run, outcome.error);
    }
  }

  #expired(run: DeliveryContext, counters: GroupMeter): Settlement | Promise<Settlement> {
    counters.expired++;
    const { delivery } = run;
    // One that failed before it expired was given up on, not merely late.
    if (!this.#options.expiredToDlq && delivery.attempt === 1) return { kind: "ack", delivery };
    const message = `The message expired before attempt ${delivery.attempt} could start.`;
    return this.#giveUp(run, new HeraldError("EXPIRED", message));
  }

  #failed(
    run: DeliveryContext,
    error: HeraldError,
    chosenDelayMs?: number,
  ): Settlement | Promise<Settlement> {
    this.#report(run, error);
    const { delivery } = run;
    const { policy, once } = this.#options;
    const delayMs = policy.delayAfter(delivery.attempt, attemptsFor(delivery.envelope, policy.maxAttempts));
    if (delayMs === undefined || once) return this.#giveUp(run, error);
    this.counters(delivery.envelope.channel).retried++;
    const failure = toFailure(delivery, error, this.#options.clock.now());
    return { kind: "nack", delivery, delayMs: chosenDelayMs ?? delayMs, failure };
  }

  #giveUp(run: DeliveryContext, error: HeraldError): Settlement | Promise<Settlement> {
    const { delivery } = run;
    const { deadLetterChannel, once, clock, agentId, group } = this.#options;
    const counters = this.counters(delivery.envelope.channel);
    // A dead letter whose own handling fails is kept where dead letters are kept; it makes no second one.
    if (once || deadLetterChannel === undefined || isDeadLetter(delivery.envelope)) {
      counters.discarded++;
      return { kind: "ack", delivery };
    }
    const letter = toDeadLetter({
      delivery,
      error,
      agentId,
      group,
      channel: deadLetterChannel,
      now: clock.now(),
    });
    return this.#options.publish(letter).then(
      (): Settlement => {
        counters.deadLettered++;
        emit("deadLettered", () => ({
          agent: agentId,
          group,
          envelope: delivery.envelope,
          reason: error.code,
          error,
          attempts: delivery.attempt,
        }));
        return { kind: "ack", delivery };
      },
      (cause): Settlement => this.#stay(run, cause),
    );
  }

  /** The dead letter could not be written: the message stays where it is. */
  #stay(run: DeliveryContext, cause: unknown): Settlement {
    const { deadLetterChannel, agentId, logger } = this.#options;
    const message = `The dead letter of ${run.envelope.id} could not be written to '${deadLetterChannel}'; the message stays on '${run.envelope.channel}' and comes back.`;
    const error = new HeraldError("DLQ_UNAVAILABLE", message, { cause });
    emit("fault", () => ({ agent: agentId, error, where: "dead-letter" }));
    logger.error({ err: error, id: run.envelope.id, channel: run.envelope.channel }, message);
    return { kind: "release", delivery: run.delivery, delayMs: DLQ_RETRY_MS };
  }

  #report(run: DeliveryContext, error: HeraldError): void {
    const { agentId, group, logger } = this.#options;
    emit("handlerError", () => ({ agent: agentId, channel: run.envelope.channel, group, error }));
    const fields = {
      id: run.envelope.id,
      channel: run.envelope.channel,
      group,
      attempt: run.attempt,
      code: error.code,
      err: error.cause ?? error,
    };
    logger.warn(
      fields,
      `Attempt ${run.attempt} of ${run.envelope.id} on '${run.envelope.channel}' failed: ${error.message}`,
    );
  }
}
