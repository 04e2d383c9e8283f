import { createEnvelope, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { MAX_CHANNEL_BYTES } from "../../core/limits.ts";
import { isDeadLetterChannel } from "../../core/names.ts";
import { isWildcard } from "../../core/pattern.ts";
import { patternsMeet } from "../../core/pattern-sets.ts";
import { DEFAULT_PRIORITY, PRIORITY_LEVELS } from "../../core/priority.ts";

/** Says what priority a message has, where the broker below has none. */
const HEADER = "x-herald-priority";

/** Which channel a message of some priority goes through: the plain one for the band of the default, one of its own for each other. */
export class Bands {
  /** The lowest level of the band that the default priority lies in. */
  readonly plain: number;
  /** The lowest level of each other band. */
  readonly others: readonly number[];
  /** What the channels of bands begin with. */
  readonly prefix: string;
  readonly #count: number;

  /** Throws `INVALID_ARGUMENT`. */
  constructor(count: number, prefix: string) {
    if (!Number.isInteger(count) || count < 1 || count > PRIORITY_LEVELS) {
      const message = `bands must be a whole number from 1 to ${PRIORITY_LEVELS}, not ${showValue(count)}.`;
      throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "bands" } });
    }
    this.#count = count;
    this.prefix = prefix;
    this.plain = this.of(DEFAULT_PRIORITY);
    const all = Array.from({ length: PRIORITY_LEVELS }, (_none, level) => this.of(level));
    this.others = [...new Set(all)].filter((band) => band !== this.plain);
  }

  /** The band of a level, named by the lowest of its levels. */
  of(level: number): number {
    const band = Math.floor((level * this.#count) / PRIORITY_LEVELS);
    return Math.ceil((band * PRIORITY_LEVELS) / this.#count);
  }

  /** The band that a message goes through. `keepsKeys`: order per key comes before priority. */
  bandFor({ channel, key, priority }: Envelope, keepsKeys: boolean): number {
    // Dead letters lie in one place and in the order of their time.
    if (priority === DEFAULT_PRIORITY || isDeadLetterChannel(channel)) return this.plain;
    return keepsKeys && key !== undefined ? this.plain : this.of(priority);
  }

  /** The channel, or the pattern, of a band; undefined when its name would be too long. */
  channelOf(band: number, channel: string): string | undefined {
    if (band === this.plain) return channel;
    const name = `${this.prefix}${band}.${channel}`;
    return name.length > MAX_CHANNEL_BYTES ? undefined : name;
  }

  /** The channel that a channel of a band stands for, and the band; undefined for a channel of no band. */
  parse(name: string): { readonly band: number; readonly channel: string } | undefined {
    if (!name.startsWith(this.prefix)) return undefined;
    const rest = name.slice(this.prefix.length);
    const dot = rest.indexOf(".");
    const band = Number(rest.slice(0, Math.max(0, dot)));
    return dot <= 0 || !isBand(band) ? undefined : { band, channel: rest.slice(dot + 1) };
  }

  /** True for a pattern that covers the channels of bands too: it reads everything in the order of its time. */
  coversBands(pattern: string): boolean {
    return isWildcard(pattern) && patternsMeet(pattern, `${this.prefix}#`);
  }
}

/** Can a band have this name? */
export function isBand(band: number): boolean {
  return Number.isInteger(band) && band >= 0 && band < PRIORITY_LEVELS;
}

/** The envelope as it goes through a channel below. */
export function toBanded(envelope: Envelope, channel: string): Envelope {
  if (envelope.priority === DEFAULT_PRIORITY && envelope.channel === channel) return envelope;
  const headers = { ...envelope.headers, [HEADER]: String(envelope.priority) };
  return createEnvelope({ ...envelope, channel, headers, priority: DEFAULT_PRIORITY });
}

/** The envelope as it was published; the same object when nothing of it is different. */
export function fromBanded(envelope: Envelope, channel: string): Envelope {
  const level = levelOf(envelope);
  if (level === undefined && channel === envelope.channel) return envelope;
  const { [HEADER]: _level, ...headers } = envelope.headers;
  return createEnvelope({
    ...envelope,
    channel,
    headers: Object.keys(headers).length === 0 ? NO_HEADERS : headers,
    priority: level ?? envelope.priority,
  });
}

/** What the header says, unless somebody else has made it up. */
function levelOf({ headers }: Envelope): number | undefined {
  const text = headers[HEADER];
  const level = Number(text);
  return text !== undefined && isBand(level) ? level : undefined;
}
