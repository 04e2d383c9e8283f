import type { EncodedPayload } from "../codec/codec.ts";
import type { Codecs, Writing } from "../codec/codecs.ts";
import { SCHEMA_ID_HEADER } from "../codec/registry/wire.ts";
import type { Budget } from "../core/budget.ts";
import type { Clock } from "../core/clock.ts";
import { EnvelopeDraft, type Envelope } from "../core/envelope.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import { checkId, createId, derivedId } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { PublishOptions } from "../core/message.ts";
import { checkChannel } from "../core/pattern.ts";
import { priorityLevel } from "../core/priority.ts";
import { childTrace } from "../core/trace.ts";
import { carry, checkBudget, checkReach, isBudgetHeader, withCarried } from "./budget.ts";
import { currentDelivery, type DeliveryContext } from "./context.ts";
import { isOwnHeader } from "./dead-letter.ts";
import { MAX_ATTEMPTS_HEADER, MOST_ATTEMPTS } from "./retry.ts";

/** What composing needs to know of the service. */
export interface ComposeOptions {
  readonly agentId: string;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly codecs: Codecs;
  /** What the broker takes, bytes. */
  readonly maxBodyBytes: number;
  /** The partition key of a message whose author names none. */
  readonly defaultKey: ((channel: string) => string) | undefined;
  /** Of the conversations that this agent begins. */
  readonly budget: Budget | undefined;
  /** Gives the provenance of a message whose author gives none; `cause`: what is handled meanwhile. Undefined: nobody wants it. */
  readonly seal: ((envelope: Envelope, cause: Envelope | undefined) => string) | undefined;
}

/** Channel names that passed their check; bounded, so that a million names cost no memory. */
const MAX_KNOWN_CHANNELS = 10_000;
/** Longest `partitionKey`, `correlationId` and the like, characters: every broker's headers have room for it. */
const MAX_TEXT = 1024;
/** Last moment that a date can name, epoch milliseconds. */
const MAX_TIME = 8.64e15;
const NO_OPTIONS: PublishOptions = Object.freeze({});

/** Turns what an author publishes into an envelope: checked, encoded, and part of the conversation it was published in. */
export class Composer {
  readonly #options: ComposeOptions;
  readonly #known = new Set<string>();

  constructor(options: ComposeOptions) {
    this.#options = options;
  }

  /**
   * Throws `INVALID_CHANNEL`, `INVALID_ARGUMENT` naming the option, `UNSERIALIZABLE`, `DEPTH_LIMIT`, `UNSAFE_PAYLOAD`,
   * `MESSAGE_TOO_LARGE`, `HEADERS_TOO_LARGE`, `HOP_LIMIT`, `BUDGET_EXCEEDED`. Nothing is sent then. Headers `x-dlq-*`,
   * `x-redrive-*`, `x-budget`, `x-trail` and `__value_schema_id` tell of
   * the way of one message and are left out, so that what is handed on with its headers is a message like any other. A
   * promise only where the channel's codec has to ask somebody first; it rejects with what the codec rejects with. `defined`
   * is what the channel's definition in code says of its payloads.
   */
  compose(
    channel: string,
    payload: unknown,
    options: PublishOptions = NO_OPTIONS,
    defined?: Writing,
  ): Envelope | Promise<Envelope> {
    this.#check(channel);
    const draft = this.#draft(channel, options);
    const encoded = this.#options.codecs.encode(payload, channel, defined);
    return encoded instanceof Promise
      ? encoded.then((late) => this.#filled(draft, late))
      : this.#filled(draft, encoded);
  }

  /** Everything but the body. */
  #draft(channel: string, options: PublishOptions): EnvelopeDraft {
    const { clock, limits, agentId, defaultKey } = this.#options;
    const time = clock.now();
    const cause = currentDelivery.getStore();
    const id = chooseId(options.id, time, cause);
    const draft = new EnvelopeDraft(id, channel, agentId, time);
    draft.correlationId = id;
    if (defaultKey !== undefined) draft.key = defaultKey(channel);
    // A reply may go one hop further: who asked across the last hop must learn that the next was refused.
    if (cause !== undefined)
      continueConversation(draft, cause, options.type === "reply" ? limits.maxHops + 1 : limits.maxHops);
    if (options !== NO_OPTIONS) apply(draft, options, limits.maxHeaderBytes);
    const budget = options.budget ?? (cause === undefined ? this.#options.budget : undefined);
    if (budget !== undefined || cause?.spending !== undefined) limit(draft, budget, cause);
    return draft;
  }

  #filled(draft: EnvelopeDraft, encoded: EncodedPayload): Envelope {
    const { limits, maxBodyBytes, seal } = this.#options;
    const { body, contentEncoding, headers } = encoded;
    checkSize(body.byteLength, Math.min(limits.maxMessageBytes, maxBodyBytes));
    draft.body = body;
    draft.contentType = encoded.contentType;
    if (contentEncoding !== undefined) draft.contentEncoding = contentEncoding;
    if (headers !== undefined) draft.headers = { ...draft.headers, ...headers };
    if (seal !== undefined) draft.provenance ??= seal(draft, currentDelivery.getStore()?.envelope);
    return draft;
  }

  #check(channel: string): void {
    if (this.#known.has(channel)) return;
    checkChannel(channel);
    if (this.#known.size >= MAX_KNOWN_CHANNELS) this.#known.clear();
    this.#known.add(channel);
  }
}

/** Under exactly-once an id follows from its cause, so that a repeated run publishes the same ids. */
function chooseId(chosen: string | undefined, time: number, cause: DeliveryContext | undefined): string {
  if (chosen !== undefined) {
    checkId(chosen);
    return chosen;
  }
  const outbox = cause?.outbox;
  if (outbox === undefined || outbox.sealed) return createId(time);
  return derivedId(`${cause?.envelope.id} ${outbox.scope} ${outbox.envelopes.length}`, cause?.envelope.id);
}

/** What a handler publishes belongs to the conversation of what it handles. */
function continueConversation(draft: EnvelopeDraft, cause: DeliveryContext, maxHops: number): void {
  const { envelope } = cause;
  draft.correlationId = envelope.correlationId ?? envelope.id;
  draft.causationId = envelope.id;
  draft.traceparent = childTrace(envelope, draft.id);
  draft.hops = envelope.hops + 1;
  if (draft.hops <= maxHops) return;
  const message = `This message would be hop ${draft.hops} of its conversation and the limit is ${maxHops}: agents answer each other in a circle; break it, or raise limits.maxHops.`;
  throw new HeraldError("HOP_LIMIT", message, {
    details: { hops: draft.hops, maxHops, correlationId: draft.correlationId },
  });
}

/** The budget goes on with the conversation. A reply may be late, and go one hop further: it ends something. */
function limit(draft: EnvelopeDraft, given: Budget | undefined, cause: DeliveryContext | undefined): void {
  if (given !== undefined) checkBudget(given);
  const carried = cause?.spending?.carried;
  const at = { hops: draft.hops, now: draft.time };
  const budget = given === undefined ? carried?.budget : carry(given, at, carried?.budget);
  if (budget === undefined) return;
  if (draft.type !== "reply") checkReach(budget, draft.hops, draft.time);
  draft.headers = withCarried(draft.headers, { budget, trail: carried?.trail ?? [] });
}

/** What the author says explicitly wins. */
function apply(draft: EnvelopeDraft, options: PublishOptions, maxHeaderBytes: number): void {
  if (options.headers !== undefined) draft.headers = checkHeaders(options.headers, maxHeaderBytes);
  if (options.maxAttempts !== undefined)
    draft.headers = { ...draft.headers, [MAX_ATTEMPTS_HEADER]: attempts(options.maxAttempts) };
  if (options.priority !== undefined) draft.priority = priorityLevel(options.priority);
  draft.key = text("partitionKey", options.partitionKey) ?? draft.key;
  draft.deliverAt = after(draft.time, "delayMs", options.delayMs, 1);
  draft.expiresAt = after(draft.time, "ttlSeconds", options.ttlSeconds, 1000);
  draft.type = text("type", options.type);
  draft.to = text("to", options.to);
  draft.correlationId = text("correlationId", options.correlationId) ?? draft.correlationId;
  draft.causationId = text("causationId", options.causationId) ?? draft.causationId;
  draft.replyTo = text("replyTo", options.replyTo);
  draft.traceparent = text("traceparent", options.traceparent) ?? draft.traceparent;
  draft.origin = text("origin", options.origin);
  draft.provenance = text("provenance", options.provenance);
}

function attempts(value: number): string {
  if (Number.isInteger(value) && value >= 1 && value <= MOST_ATTEMPTS) return String(value);
  throw wrong("maxAttempts", `a whole number from 1 to ${MOST_ATTEMPTS}`, value);
}

function checkSize(bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  const message = `The payload has ${bytes} bytes and the limit is ${maxBytes}: send less, or a reference to where it is kept.`;
  throw new HeraldError("MESSAGE_TOO_LARGE", message, { details: { bytes, maxBytes } });
}

function after(time: number, field: string, value: number | undefined, unitMs: number): number | undefined {
  if (value === undefined) return undefined;
  const at = typeof value === "number" && value >= 0 ? time + value * unitMs : Number.NaN;
  if (at <= MAX_TIME) return at;
  throw wrong(field, "a number of 0 or more, before the end of time", value);
}

function text(field: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused.
  if (typeof value === "string" && value.length <= MAX_TEXT && !/[\u0000-\u001f\u007f]/.test(value))
    return value;
  throw wrong(field, `a text of at most ${MAX_TEXT} characters without control characters`, value);
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}

function checkHeaders(
  headers: Readonly<Record<string, string>>,
  maxBytes: number,
): Readonly<Record<string, string>> {
  if (!isRecord(headers)) throw wrong("headers", "a plain object of texts", headers);
  const checked: Record<string, string> = Object.create(null) as Record<string, string>;
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (isOwnHeader(name) || isBudgetHeader(name) || name === SCHEMA_ID_HEADER) continue;
    if (!/^[A-Za-z0-9._-]{1,200}$/.test(name) || name === "__proto__" || name === "constructor") {
      throw badHeader(name, "must be 1 to 200 characters of A-Z a-z 0-9 . _ - and no prototype key");
    }
    if (typeof value !== "string")
      throw badHeader(name, `must have a string as its value, not ${typeof value}`);
    bytes += name.length + Buffer.byteLength(value);
    checked[name] = value;
  }
  if (bytes > maxBytes) {
    const message = `The headers have ${bytes} bytes and the limit is ${maxBytes}: put the data into the payload.`;
    throw new HeraldError("HEADERS_TOO_LARGE", message, { details: { bytes, maxBytes } });
  }
  return checked;
}

/** A Map or a fetch Headers has no own properties: taken as headers it would be lost in silence. */
function isRecord(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Object]";
}

function badHeader(name: string, what: string): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `Header ${showValue(name)} ${what}.`, {
    details: { field: "headers" },
  });
}
