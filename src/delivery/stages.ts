import type { Codecs } from "../codec/codecs.ts";
import { toMessage } from "../codec/message.ts";
import type { Clock } from "../core/clock.ts";
import { NO_HEADERS, type Envelope } from "../core/envelope.ts";
import { describeThrown, HeraldError, isHeraldError, RejectError, SnoozeError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { Message } from "../core/message.ts";
import type { GroupCounters } from "../core/meter.ts";
import type { Handler } from "../core/middleware.ts";
import { HANDLED, type Outcome } from "../core/outcome.ts";
import type { Commit } from "../core/broker.ts";
import { NO_WRITES, type Inbox, type InboxState } from "../core/store.ts";
import { currentDelivery, type DeliveryContext, type Outbox, type RunTools } from "./context.ts";
import { originalChannel, REDRIVE_GROUP } from "./dead-letter.ts";
import { startSpending, type SpendingSource } from "./spending.ts";
import type { Stops } from "./stops.ts";
import { attemptsFor } from "./retry.ts";

/** How the messages of one subscription are handled; the same for all of them. */
export interface Handling extends RunTools {
  readonly clock: Clock;
  readonly codecs: Codecs;
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
  /** Most attempts, those that never ended among them: a message that kills its process must not do so for ever. */
  readonly maxAttempts: number;
  /** Set under exactly-once. */
  readonly inbox: Inbox | undefined;
  /** Commits what such a handler has written and published, with the inbox, and acknowledges its message: all or nothing. */
  readonly commit: (commit: Commit) => Promise<void>;
  /** True: every exactly-once handler ends so, also one that has begun no transaction. */
  readonly commitsAll: () => boolean;
  /** Publishes what an exactly-once handler wanted to publish; rejects unless every one was accepted. */
  readonly publishAll: (envelopes: readonly Envelope[]) => Promise<void>;
  /** Where budgets of conversations are charged. */
  readonly spending: SpendingSource;
  /** Conversations that were stopped; undefined: the broker keeps no list of them. */
  readonly stops: Stops | undefined;
}

/** Undefined: on to the next stage. */
export type StageResult = Outcome | undefined | Promise<Outcome | undefined>;

/** One step of a message's life between receive and settle. */
export type Stage = (run: DeliveryContext, handling: Handling) => StageResult;

/** How soon a delivery comes back whose twin is being handled at this moment. */
const BUSY_DELAY_MS = 50;
/** What an inbox rejects with that could not be asked. */
const SILENCES: ReadonlySet<string> = new Set(["NOT_CONNECTED", "TIMEOUT", "PUBLISH_UNKNOWN"]);
/** The inbox did not answer: no failure of the message, whose handler has not started. */
export const UNCLAIMED: Outcome = { kind: "snoozed", delayMs: BUSY_DELAY_MS };
/** How soon one comes back whose handler met a circuit breaker that does not say for how long it is open. */
const CIRCUIT_DELAY_MS = 1000;

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

/** A conversation that was stopped goes to the dead letters. */
export const stopped: Stage = (run, { stops }) => stops?.judge(run.envelope);

/** One over its budget, or in a circle, too. */
export const budget: Stage = (run, { spending }) =>
  run.envelope.headers === NO_HEADERS ? undefined : startSpending(run, spending);

/** Bytes become a message; what cannot be read is given up on at once. */
export const decode: Stage = (run, { codecs }) => {
  const { envelope } = run;
  const payload = codecs.decode(envelope, originalChannel(envelope));
  if (payload instanceof Promise) return payload.then((late) => arrive(run, late));
  return arrive(run, payload);
};

function arrive(run: DeliveryContext, payload: unknown): undefined {
  run.message = toMessage(run.envelope, payload, run.attempt);
}

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
  let state: InboxState;
  run.isClaiming = true;
  try {
    state = await inbox.claim(scope, id);
  } catch (thrown) {
    run.outcome = unclaimed(run, thrown);
    return;
  } finally {
    run.isClaiming = false;
  }
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
    run.onHandled?.(run);
    if (run.transaction !== undefined || handling.commitsAll()) {
      committed = await commitAll(run, handling, outbox);
      if (committed) inbox.committed?.(scope, id);
      return;
    }
    if (outbox.envelopes.length > 0) await handling.publishAll(await leftIn(outbox, run));
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

/** An inbox that does not answer is no failure of the message. Throws what is. */
function unclaimed({ agentId }: DeliveryContext, thrown: unknown): Outcome {
  if (!isHeraldError(thrown) || !SILENCES.has(thrown.code)) throw thrown;
  emit("fault", () => ({ agent: agentId, error: thrown, where: "inbox" }));
  return UNCLAIMED;
}

/**
 * Everything in one transaction of the broker, the acknowledgement too: what settles the message afterwards changes nothing.
 * False: somebody else has changed what was read, and the message comes again soon. That is no failure of the handler.
 */
async function commitAll(
  run: DeliveryContext,
  { commit, scope }: Handling,
  outbox: Outbox,
): Promise<boolean> {
  const envelopes = await leftIn(outbox, run);
  const { delivery, envelope, transaction } = run;
  run.outbox = undefined;
  const writes = transaction?.end() ?? NO_WRITES;
  try {
    await commit({ delivery, inbox: { scope, id: envelope.id }, envelopes, writes });
    return true;
  } catch (error) {
    if (!isHeraldError(error) || error.code !== "CONFLICT") throw error;
    // Apart, so that those who collided do not collide again.
    run.outcome = { kind: "snoozed", delayMs: Math.ceil(Math.random() * BUSY_DELAY_MS) };
    return false;
  }
}

async function leftIn(outbox: Outbox, run: DeliveryContext): Promise<Envelope[]> {
  const encoded = await Promise.all(outbox.envelopes.map(async (envelope) => envelope));
  // Encoding may have taken until its time was up.
  checkNotCut(run);
  // What could not be encoded was told to the handler, which went on all the same.
  return encoded.filter((envelope) => envelope !== undefined);
}

/** A run that was cut short is over for everybody else: whatever it still does must have no effect. */
export function checkNotCut(run: DeliveryContext): void {
  if (run.abortedBy !== undefined) throw run.abortedBy;
}

/** Undefined when the handler has ended already. */
function call(run: DeliveryContext, handling: Handling): Promise<unknown> | undefined {
  const maxAttempts = run.attempt === 1 ? 1 : attemptsFor(run.envelope, handling.maxAttempts);
  if (run.attempt > maxAttempts) throw neverEnded(run, maxAttempts);
  handling.counters(run.envelope.channel).delivered++;
  run.tools = handling;
  const result: unknown = currentDelivery.run(run, handling.handler, run.message as Message, run);
  const pending = result instanceof Promise || isThenable(result) ? Promise.resolve(result) : undefined;
  if (!handling.manual) return pending;
  return pending === undefined ? run.decided() : pending.then(() => run.decided());
}

function neverEnded({ attempt, envelope }: DeliveryContext, maxAttempts: number): HeraldError {
  const message = `${envelope.id} was handed out ${attempt - 1} times and ${maxAttempts} attempts are allowed: whoever handled it last died or lost its lease; see whether it kills its process.`;
  return new HeraldError("HANDLER_FAILED", message, { details: { attempt, maxAttempts } });
}

/** What a run that has ended came to. */
export function conclude(run: DeliveryContext): Outcome {
  const { decision, outcome } = run;
  if (outcome !== undefined) return outcome;
  if (decision === undefined || decision.kind === "ack") return HANDLED;
  const { delayMs, requeue, reason } = decision;
  if (!requeue) {
    const error = new RejectError(reason ?? "The handler gave the message back without requeue.");
    return { kind: "rejected", error };
  }
  const error = new HeraldError("HANDLER_FAILED", reason ?? "The handler gave the message back.");
  return delayMs === undefined ? { kind: "failed", error } : { kind: "nacked", delayMs, error };
}

/** What a throw means: snooze, reject, or failed; an error of ours that cannot get better is a reject. */
export function outcomeOfThrow(thrown: unknown): Outcome {
  if (isHeraldError(thrown)) {
    if (thrown.name === "SnoozeError") return { kind: "snoozed", delayMs: (thrown as SnoozeError).delayMs };
    if (thrown.code === "CIRCUIT_OPEN") return { kind: "snoozed", delayMs: waitOf(thrown) };
    return thrown.retryable ? { kind: "failed", error: thrown } : { kind: "rejected", error: thrown };
  }
  return {
    kind: "failed",
    error: new HeraldError("HANDLER_FAILED", describeThrown(thrown), { cause: thrown }),
  };
}

/** What a handler needs is behind an open circuit breaker: again when that lets something through, not counted. */
function waitOf({ details }: HeraldError): number {
  const { waitMs } = details;
  return typeof waitMs === "number" && waitMs > 0 ? waitMs : CIRCUIT_DELAY_MS;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}
