import { isoTime } from "../core/clock.ts";
import type { Delivery, Failure } from "../core/delivery.ts";
import { createEnvelope, NO_HEADERS, type Envelope } from "../core/envelope.ts";
import type { HeraldError } from "../core/errors.ts";
import { MAX_FAILURES } from "../core/limits.ts";

/** Header of a redriven message: the only group that handles it; empty for the broadcast subscriptions. */
export const REDRIVE_GROUP = "x-redrive-group";
/** Header of a redriven message: how often it was sent back. */
export const REDRIVE_COUNT = "x-redrive-count";
/** Header of a redriven message: when it was sent back, ISO 8601. */
export const REDRIVE_AT = "x-redrive-at";

const PREFIX = "x-dlq-";
const REDRIVE_PREFIX = "x-redrive-";
/** Errors kept with an entry are each cut to a line that headers can carry. */
const MAX_ERROR_LENGTH = 500;

/** Why and where a message was given up on. */
export interface GivenUp {
  readonly delivery: Delivery;
  readonly error: HeraldError;
  readonly agentId: string;
  readonly group: string | null;
  /** The channel the dead letter goes to. */
  readonly channel: string;
  readonly now: number;
}

/** What is known of a dead letter beside the message itself. */
export interface DeadLetterFacts {
  /** The channel it was given up on. */
  readonly channel: string;
  /** The group that gave up; null for a broadcast. */
  readonly group: string | null;
  readonly agentId: string;
  /** Error code: `HANDLER_FAILED`, `REJECTED`, `MALFORMED`, `SCHEMA_VIOLATION`, `EXPIRED`, … */
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
  readonly failures: readonly Failure[];
  /** Epoch milliseconds. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** The dead letter of a message: its own bytes, attributes and headers, on the dead-letter channel, with `x-dlq-*` headers. */
export function toDeadLetter(given: GivenUp): Envelope {
  const { delivery, error, now } = given;
  const original = delivery.envelope;
  const failures = [...delivery.failures, toFailure(delivery, error, now)].slice(-MAX_FAILURES);
  const facts: Record<string, string | undefined> = {
    channel: original.channel,
    group: given.group ?? undefined,
    agent: given.agentId,
    code: error.code,
    reason: cut(error.message),
    attempts: String(delivery.attempt),
    failures: JSON.stringify(failures),
    "first-failed-at": isoTime(delivery.failures[0]?.at ?? now),
    "last-failed-at": isoTime(now),
    // These would make the dead letter itself late, early, or an answer to somebody.
    "expires-at": original.expiresAt === undefined ? undefined : String(original.expiresAt),
    "reply-to": original.replyTo,
  };
  const headers: Record<string, string> = { ...originalHeaders(original) };
  for (const [name, value] of Object.entries(facts))
    if (value !== undefined) headers[PREFIX + name] = headerText(value);
  return createEnvelope({
    ...original,
    channel: given.channel,
    headers,
    expiresAt: undefined,
    deliverAt: undefined,
    replyTo: undefined,
  });
}

/** One failed attempt, as it is kept with the message: what an error says is cut to a length that headers can carry. */
export function toFailure(delivery: Delivery, error: HeraldError, at: number): Failure {
  return { attempt: delivery.attempt, code: error.code, message: cut(error.message), at };
}

/** True for the name of a header that Herald sets itself, on dead letters and on what is sent back from them. */
export function isOwnHeader(name: string): boolean {
  return name.startsWith(PREFIX) || name.startsWith(REDRIVE_PREFIX);
}

/** True for an envelope that {@link toDeadLetter} made. */
export function isDeadLetter(envelope: Envelope): boolean {
  return envelope.headers[`${PREFIX}channel`] !== undefined;
}

/** The channel that a message was published on: of a dead letter, where it was given up on. */
export function originalChannel({ headers, channel }: Envelope): string {
  return headers === NO_HEADERS ? channel : (headers[`${PREFIX}channel`] ?? channel);
}

/** The facts of a dead letter; undefined when the envelope is not one. */
export function factsOf(envelope: Envelope): DeadLetterFacts | undefined {
  const { headers } = envelope;
  const channel = headers[`${PREFIX}channel`];
  if (channel === undefined) return undefined;
  return {
    channel,
    group: headers[`${PREFIX}group`] ?? null,
    agentId: headers[`${PREFIX}agent`] ?? "",
    code: headers[`${PREFIX}code`] ?? "INTERNAL",
    reason: headers[`${PREFIX}reason`] ?? "",
    attempts: Number(headers[`${PREFIX}attempts`] ?? 0),
    failures: parseFailures(headers[`${PREFIX}failures`]),
    firstFailedAt: Date.parse(headers[`${PREFIX}first-failed-at`] ?? ""),
    lastFailedAt: Date.parse(headers[`${PREFIX}last-failed-at`] ?? ""),
  };
}

/** The message of a dead letter as it was, for its own channel and the group that gave up on it: same id, first attempt again. */
export function toRedriven(deadLetter: Envelope, facts: DeadLetterFacts, now: number): Envelope {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(deadLetter.headers))
    if (!name.startsWith(PREFIX)) headers[name] = value;
  headers[REDRIVE_COUNT] = String(redrivenOf(headers) + 1);
  headers[REDRIVE_AT] = isoTime(now);
  headers[REDRIVE_GROUP] = facts.group ?? "";
  // An expiry that has passed would end the message again at once; the operator has just asked for it.
  const expiresAt = Number(deadLetter.headers[`${PREFIX}expires-at`] ?? Number.NaN);
  return createEnvelope({
    ...deadLetter,
    channel: facts.channel,
    headers,
    expiresAt: expiresAt > now ? expiresAt : undefined,
    replyTo: deadLetter.headers[`${PREFIX}reply-to`],
  });
}

/** How often a message was sent back, by its headers. */
export function redrivenOf(headers: Readonly<Record<string, string>>): number {
  const count = Number(headers[REDRIVE_COUNT] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** The headers of a message without those of a dead letter. */
export function originalHeaders(envelope: Envelope): Readonly<Record<string, string>> {
  if (envelope.headers === NO_HEADERS) return NO_HEADERS;
  return Object.fromEntries(Object.entries(envelope.headers).filter(([name]) => !name.startsWith(PREFIX)));
}

function parseFailures(text: string | undefined): readonly Failure[] {
  try {
    const parsed: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(parsed) ? (parsed as Failure[]) : [];
  } catch {
    return [];
  }
}

function cut(text: string): string {
  return text.length > MAX_ERROR_LENGTH ? `${text.slice(0, MAX_ERROR_LENGTH)}…` : text;
}

/** One line: what a header of every technology can carry. */
function headerText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken out.
  return text.replace(/[\u0000-\u001f\u007f]+/g, " ");
}
