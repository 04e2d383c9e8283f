import { createHash } from "node:crypto";
import type { Delivery, Failure } from "../../core/delivery.ts";
import { createEnvelope, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { createId } from "../../core/ids.ts";
import { MAX_CHANNEL_BYTES } from "../../core/limits.ts";
import { isChannelName } from "../../core/pattern.ts";

/** Channels of the wrapper's own. */
export const DELAY_PREFIX = "system.delay.";
const RETURN_PREFIX = `${DELAY_PREFIX}r.`;
const GROUP_LENGTH = 16;

/** When a message was to be delivered, where the broker below carries no such thing. */
const DELIVER_AT = "x-herald-deliver-at";
/** What a message is that waits for its time, or comes back after a failure. */
const HELD = "x-herald-held";

/** What the broker below must not act upon while a message waits. */
interface Own {
  readonly id: string;
  readonly channel: string;
  readonly key?: string | undefined;
  readonly deliverAt?: number | undefined;
  readonly expiresAt?: number | undefined;
  readonly priority: number;
}

/** How long a message waits: `leftMs` from when it was written, so that a clock that is set changes nothing. */
interface Waiting {
  readonly leftMs: number;
  /** When it was written, epoch milliseconds. */
  readonly at: number;
}

/** Of a message that is delivered later. */
export interface Scheduled extends Waiting {
  readonly isDeduped: boolean;
  /** How often it was moved on. */
  readonly hop: number;
}

/** Of a message that comes back to one group. */
export interface Returning extends Waiting {
  readonly group: string;
  readonly attempt: number;
  readonly failures: readonly Failure[];
  /** Its place in its channel. */
  readonly position: string;
}

/** A held message in its parts. */
export interface Held<T> {
  readonly envelope: Envelope;
  readonly facts: T;
}

/** Milliseconds that are left of a wait. Whoever keeps the message in hand counts on by monotonic time. */
export function leftOf({ leftMs, at }: Waiting, now: number): number {
  return leftMs - Math.max(0, now - at);
}

/** The envelope on a channel where it waits until it is delivered. One that is to be recognised has the same id there every time. */
export function toScheduled(envelope: Envelope, channel: string, facts: Scheduled): Envelope {
  const own = `${envelope.id} ${envelope.channel} ${facts.hop}`;
  const id = facts.isDeduped ? `held-${hash(own, 32)}` : createId();
  return hold(envelope, { id, channel }, facts);
}

/** The envelope on its way back to a group. */
export function toReturning(envelope: Envelope, channel: string, facts: Returning): Envelope {
  return hold(envelope, { id: `back-${createId()}`, channel }, facts);
}

/** A message that comes back on its own channel, where its key is waited for; all groups but its own pass it over. */
export function toAddressed(held: Envelope, { envelope, facts }: Held<Returning>): Envelope {
  return hold(envelope, { id: held.id, channel: envelope.channel, key: envelope.key }, facts);
}

/** A message that waits until it is delivered; undefined for an envelope that is none, or that somebody else has made up. */
export function fromScheduled(envelope: Envelope): Held<Scheduled> | undefined {
  return fromHeld<Scheduled>(
    envelope,
    ({ isDeduped, hop }) => typeof isDeduped === "boolean" && isCount(hop),
  );
}

/** A message that comes back to a group; undefined likewise. */
export function fromReturning(envelope: Envelope): Held<Returning> | undefined {
  return fromHeld<Returning>(
    envelope,
    ({ group, attempt, failures, position }) =>
      typeof group === "string" &&
      isCount(attempt) &&
      Array.isArray(failures) &&
      typeof position === "string",
  );
}

function fromHeld<T extends Scheduled | Returning>(
  envelope: Envelope,
  isWhole: (facts: Partial<T>) => boolean,
): Held<T> | undefined {
  const { [HELD]: text, ...headers } = envelope.headers;
  if (text === undefined) return undefined;
  let written: { readonly own?: Partial<Own> | null; readonly facts?: Partial<T> | null } | null;
  try {
    written = JSON.parse(text) as typeof written;
  } catch {
    return undefined;
  }
  const { own, facts } = written ?? {};
  if (typeof own !== "object" || own === null || typeof facts !== "object" || facts === null)
    return undefined;
  if (!isOwn(own) || !Number.isFinite(facts.leftMs) || !Number.isFinite(facts.at) || !isWhole(facts))
    return undefined;
  const { id, channel, key, deliverAt, expiresAt, priority } = own;
  const restored = { ...envelope, id, channel, key, deliverAt, expiresAt, priority };
  return { facts: facts as T, envelope: createEnvelope({ ...restored, headers: headersOf(headers) }) };
}

function isOwn(own: Partial<Own>): own is Own {
  const { id, channel, key, deliverAt, expiresAt, priority } = own;
  const isTime = (time: unknown) => time === undefined || Number.isFinite(time);
  return (
    typeof id === "string" &&
    isChannelName(channel) &&
    (key === undefined || typeof key === "string") &&
    isTime(deliverAt) &&
    isTime(expiresAt) &&
    isCount(priority)
  );
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

/** The envelope for a broker that is to deliver it at once, with its time in a header. */
export function toDue(envelope: Envelope): Envelope {
  const { deliverAt } = envelope;
  if (deliverAt === undefined) return envelope;
  const headers = { ...envelope.headers, [DELIVER_AT]: String(deliverAt) };
  return createEnvelope({ ...envelope, headers, deliverAt: undefined });
}

/** The envelope as it was published; the same object when it never waited. */
export function fromDue(envelope: Envelope): Envelope {
  const { [DELIVER_AT]: text, ...headers } = envelope.headers;
  if (text === undefined || !Number.isFinite(Number(text))) return envelope;
  return createEnvelope({ ...envelope, headers: headersOf(headers), deliverAt: Number(text) });
}

/** Where what a group gave back waits: of a channel, or of all that a pattern covers; undefined when the name would be too long. */
export function returnChannel(group: string, channel: string): string | undefined {
  const name = `${RETURN_PREFIX}${hash(group, GROUP_LENGTH)}.${channel}`;
  return name.length > MAX_CHANNEL_BYTES ? undefined : name;
}

/** The channel that a return channel stands for; undefined for any other. */
export function channelOfReturns(name: string): string | undefined {
  return name.startsWith(RETURN_PREFIX) ? name.slice(RETURN_PREFIX.length + GROUP_LENGTH + 1) : undefined;
}

/** True when the delivery comes from where this group's returns wait. */
export function isReturnTo(group: string, { envelope }: Delivery): boolean {
  return envelope.channel.startsWith(`${RETURN_PREFIX}${hash(group, GROUP_LENGTH)}.`);
}

function hold(
  envelope: Envelope,
  as: { readonly id: string; readonly channel: string; readonly key?: string | undefined },
  facts: Scheduled | Returning,
): Envelope {
  const { id, channel, key, deliverAt, expiresAt, priority } = envelope;
  const own: Own = { id, channel, key, deliverAt, expiresAt, priority };
  return createEnvelope({
    ...envelope,
    id: as.id,
    channel: as.channel,
    key: as.key,
    deliverAt: undefined,
    expiresAt: undefined,
    priority: undefined,
    headers: { ...envelope.headers, [HELD]: JSON.stringify({ own, facts }) },
  });
}

function headersOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.keys(headers).length === 0 ? NO_HEADERS : headers;
}

function hash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
