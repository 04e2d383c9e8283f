import { createHash } from "node:crypto";
import { createEnvelope, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { createId } from "../../core/ids.ts";
import { MAX_CHANNEL_BYTES } from "../../core/limits.ts";
import { isDeadLetterChannel } from "../../core/names.ts";

/** Channels of the failover broker's own; nobody else sees them. */
export const INTERNAL_PREFIX = "system.failover.";

/** Says on the fallback when a message was put there, and on the primary who gets it from elsewhere. */
const HEADER = "x-herald-failover";

/** What the copy on the primary says of a message that was written on a fallback. */
export interface HandedOver {
  /** The fallback it comes from. */
  readonly store: string;
  /** When it was written there, epoch milliseconds. */
  readonly at: number;
  /** Groups that get it from there. */
  readonly groups: readonly string[];
}

/** True for a channel that carries what failover itself needs. */
export function isInternal(channel: string): boolean {
  return channel.startsWith(INTERNAL_PREFIX);
}

/** The envelope as it is written on the fallback. */
export function toSpooled(envelope: Envelope, at: number): Envelope {
  return withHeader(envelope, String(at));
}

const SPOOL_PREFIX = `${INTERNAL_PREFIX}spool.`;
/** Everything that is to be handed to the primary. */
export const SPOOL_PATTERN = `${SPOOL_PREFIX}#`;
const SPOOL_HEADER = "x-herald-spool";

/** What an entry of the spool carries of its message, because the spool's own channel would act upon it. */
interface Carried {
  readonly id: string;
  readonly channel: string;
  readonly key?: string;
  readonly deliverAt?: number;
  readonly expiresAt?: number;
  readonly priority: number;
  /** When it was written, epoch milliseconds. */
  readonly at: number;
  /** Where the copy for those who read the fallback lies, if it must be taken away. */
  readonly position?: string;
}

/** A message on its way to the primary. */
export interface SpoolEntry {
  readonly envelope: Envelope;
  readonly at: number;
  readonly position: string | undefined;
}

/** The spool of a channel. */
export function spoolOf(channel: string): string {
  if (SPOOL_PREFIX.length + channel.length <= MAX_CHANNEL_BYTES) return SPOOL_PREFIX + channel;
  return `${SPOOL_PREFIX}${createHash("sha256").update(channel).digest("hex")}`;
}

/** The channel of a spool. */
export function channelOfSpool(spool: string): string | undefined {
  return spool.startsWith(SPOOL_PREFIX) ? spool.slice(SPOOL_PREFIX.length) : undefined;
}

/** A second copy, for the primary: without a key, so that many messages of one key can be handed over at once, in order. */
export function toSpoolEntry(envelope: Envelope, at: number, position?: string): Envelope {
  const { id, channel, key, deliverAt, expiresAt, priority } = envelope;
  const carried = JSON.stringify({ id, channel, key, deliverAt, expiresAt, priority, at, position });
  return createEnvelope({
    ...envelope,
    id: createId(at),
    channel: spoolOf(channel),
    key: undefined,
    deliverAt: undefined,
    expiresAt: undefined,
    priority: undefined,
    headers: { ...envelope.headers, [SPOOL_HEADER]: carried },
  });
}

/** The message of an entry. */
export function fromSpoolEntry(entry: Envelope): SpoolEntry {
  const { [SPOOL_HEADER]: text = "{}", ...headers } = entry.headers;
  const { at, position, ...own } = JSON.parse(text) as Carried;
  return { envelope: createEnvelope({ ...entry, ...without(own), headers }), at, position };
}

/** The envelope as it is handed to the primary. */
export function toHandedOver(envelope: Envelope, handedOver: HandedOver): Envelope {
  return withHeader(envelope, JSON.stringify(handedOver));
}

/** Set on a message that was sent back from the dead letters: it goes its way again, under an id that was seen before. */
const REDRIVEN = "x-redrive-group";

/** True when the id of an envelope was published before, on purpose: to be recognised would be to be lost. */
export function isRepeat({ channel, headers }: Envelope): boolean {
  return isDeadLetterChannel(channel) || headers[REDRIVEN] !== undefined;
}

/** True when failover has marked the envelope. */
export function isMarked(envelope: Envelope): boolean {
  return envelope.headers[HEADER] !== undefined;
}

/** Where a copy on the primary comes from; undefined for a message that was published there. */
export function handedOverOf(envelope: Envelope): HandedOver | undefined {
  const text = envelope.headers[HEADER];
  if (text === undefined || !text.startsWith("{")) return undefined;
  try {
    const { store, at, groups } = JSON.parse(text) as Partial<HandedOver>;
    if (typeof store !== "string" || typeof at !== "number" || !Array.isArray(groups)) return undefined;
    return { store, at, groups: groups.filter((group) => typeof group === "string") };
  } catch {
    return undefined;
  }
}

/** The envelope as it was published. */
export function toPlain(envelope: Envelope): Envelope {
  const { [HEADER]: _mark, ...headers } = envelope.headers;
  return createEnvelope({ ...envelope, headers: Object.keys(headers).length === 0 ? NO_HEADERS : headers });
}

/** Fields of an entry that its message does not have must not stay. */
function without(carried: Omit<Carried, "at" | "position">) {
  const { id, channel, key, deliverAt, expiresAt, priority } = carried;
  return { id, channel, key, deliverAt, expiresAt, priority };
}

function withHeader(envelope: Envelope, value: string): Envelope {
  return createEnvelope({ ...envelope, headers: { ...envelope.headers, [HEADER]: value } });
}
