import { decodePayload } from "../codec/payload.ts";
import { toMessage } from "../codec/message.ts";
import type { Clock } from "../core/clock.ts";
import type { Envelope } from "../core/envelope.ts";
import { describeThrown, HeraldError, isHeraldError, RejectError, SnoozeError } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { Message } from "../core/message.ts";
import type { GroupCounters } from "../core/meter.ts";
import type { Handler } from "../core/middleware.ts";
import { HANDLED, type Outcome } from "../core/outcome.ts";
import type { Inbox } from "../core/store.ts";
import { currentDelivery, type DeliveryContext, type Outbox } from "./context.ts";
import { REDRIVE_GROUP } from "./dead-letter.ts";

/** How the messages of one subscription are handled; the same for all of them. */
export interface Handling {
  readonly clock: Clock;
  readonly limits: Limits;
  /** Null for a broadcast. */
  readonly group: string | null;
  /** Whose effects the inbox tells apart: the group's, or those of this one broadcast subscription. */
  readonly scope: string;
  /** The counters of the group on a channel. */
  readonly counters: (channel: string) => Pick<GroupCounters, "delivered">;
  /** Middleware and handler as one function. */
  readonly handler: Handler;
  readonly filter: ((message: Message) => boolean) | undefined;
  /** Throws, or rejects with, `SCHEMA_VIOLATION`. */
  readonly validate: ((message: Message) => void | Promise<void>) | undefined;
  /** True: the handler says through its context when the message is handled. */
  readonly manual: boolean;
  /** Set under exactly-once. */
  readonly inbox: Inbox | undefined;
  /** Publishes what an exactly-once handler wanted to publish; rejects unless every one was accepted. */
  readonly publishAll: (envelopes: readonly Envelope[]) => Promise<void>;
}

/** Undefined: on to the next stage. */
export type StageResult = Outcome | undefined | Promise<Outcome | undefined>;

/** One step of a message's life between receive and settle. */
export type Stage = (run: DeliveryContext, handling: Handling) => StageResult;

/** How soon a delivery comes back whose twin is being handled at this moment. */
const BUSY_DELAY_MS = 50;

/** A redriven message goes to the group that gave up on it, and to no other. */
export const addressed: Stage = (run, { group }) => {
  const target = run.envelope.headers[REDRIVE_GROUP];
  return target === undefined || target === (group ?? "")
    ? undefined
    : { kind: "skipped", reason: "addressed" };
};

/** Past its time, a message is never started. */
export const expire: Stage = (run, { clock }) => {
  const { expiresAt } = run.envelope;
  return expiresAt !== undefined && expiresAt <= clock.now() ? { kind: "expired" } : undefined;
};

/** Bytes become a message; what cannot be read is given up on at once. */
export const decode: Stage = (run, { limits }) => {
  run.message = toMessage(run.envelope, decodePayload(run.envelope, limits.maxDepth), run.attempt);
  return undefined;
};

/** What the subscription's filter does not want is acknowledged. */
export const filter: Stage = (run, handling) => {
  if (handling.filter === undefined || handling.filter(run.message as Message)) return undefined;
  return { kind: "skipped", reason: "filtered" };
};

/** What breaks its schema is given up on, the handler not started. */
export const validate: Stage = (run, handling) => {
  const pending = handling.validate?.(run.message as Message);
  return pending === undefined ? undefined : pending.then(() => undefined);
};

/**
 * Runs the handler, under exactly-once behind the inbox. What it resolves to is of no interest here: the outcome is read
 * from the run when it has ended.
 */
export function handle(run: DeliveryContext, handling: Handling): Promise<unknown> | undefined {
  return handling.inbox === undefined ? call(run, handling) : handleOnce(run, handling, handling.inbox);
}

/**
 * An id that took effect before is acknowledged without running the handler. What the handler publishes leaves only
 * after it has succeeded, then the inbox is written: a crash between the two repeats the publishes under the same ids.
 */
async function handleOnce(run: DeliveryContext, handling: Handling, inbox: Inbox): Promise<void> {
  const { scope } = handling;
  const { id } = run.envelope;
  const state = await inbox.claim(scope, id);
  if (state !== "new") {
    run.outcome =
      state === "done"
        ? { kind: "skipped", reason: "duplicate" }
        : { kind: "snoozed", delayMs: BUSY_DELAY_MS };
    return;
  }
  const outbox: Outbox = { scope, envelopes: [], sealed: false };
  let committed = false;
  try {
    checkNotCut(run);
    run.outbox = outbox;
    await call(run, handling);
    if (conclude(run).kind !== "handled") return;
    checkNotCut(run);
    // What is published from here on, by something that the handler left running, goes out by itself.
    outbox.sealed = true;
    if (outbox.envelopes.length > 0) await handling.publishAll(outbox.envelopes);
    checkNotCut(run);
    // Its effects are made: if its time runs out while the inbox is written, nobody may claim the id again.
    run.outbox = undefined;
    await inbox.commit(scope, id);
    committed = true;
  } finally {
    // A run that was cut short after its claim has lost it: the inbox was told then.
    if (!committed && (run.abortedBy === undefined || run.outbox === undefined))
      await inbox.abandon(scope, id);
  }
}

/** A run that was cut short is over for everybody else: whatever it still does must have no effect. */
export function checkNotCut(run: DeliveryContext): void {
  if (run.abortedBy !== undefined) throw run.abortedBy;
}

/** Undefined when the handler has ended already. */
function call(run: DeliveryContext, handling: Handling): Promise<unknown> | undefined {
  handling.counters(run.envelope.channel).delivered++;
  const result: unknown = currentDelivery.run(run, handling.handler, run.message as Message, run);
  const pending = result instanceof Promise || isThenable(result) ? Promise.resolve(result) : undefined;
  if (!handling.manual) return pending;
  return pending === undefined ? run.decided() : pending.then(() => run.decided());
}

/** What a run that has ended came to. */
export function conclude(run: DeliveryContext): Outcome {
  const { decision, outcome } = run;
  if (outcome !== undefined) return outcome;
  if (decision === undefined || decision.kind === "ack") return HANDLED;
  if (!decision.requeue)
    return { kind: "rejected", error: new RejectError("The handler gave the message back without requeue.") };
  const { delayMs } = decision;
  if (delayMs !== undefined) return { kind: "nacked", delayMs };
  return { kind: "failed", error: new HeraldError("HANDLER_FAILED", "The handler gave the message back.") };
}

/** What a throw means: snooze, reject, or failed; an error of ours that cannot get better is a reject. */
export function outcomeOfThrow(thrown: unknown): Outcome {
  if (isHeraldError(thrown)) {
    if (thrown.name === "SnoozeError") return { kind: "snoozed", delayMs: (thrown as SnoozeError).delayMs };
    return thrown.retryable ? { kind: "failed", error: thrown } : { kind: "rejected", error: thrown };
  }
  return {
    kind: "failed",
    error: new HeraldError("HANDLER_FAILED", describeThrown(thrown), { cause: thrown }),
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}
