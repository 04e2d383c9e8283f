import { matchPattern } from "../../core/pattern.ts";
import type { ConsumerInfo } from "./api.ts";
import { consumerOf } from "./names.ts";
import { isConsumerMissing } from "./errors.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";

interface Rival {
  readonly pattern: string;
  readonly record: number;
}

/** How long it is believed that somebody reads. */
const BELIEVED_MS = 250;
const NANOS = 1e6;

/**
 * Several patterns of one group may cover a channel, and each is a consumer that gets everything. The one whose record is
 * oldest hands out, as long as somebody reads it; the others let the message go. Who comes later sees who was before, so
 * nobody must be told of anybody new.
 */
export class Rivals {
  readonly #session: Session;
  readonly #reader: (consumer: string) => Reader | undefined;
  /** Older patterns with wildcards of each reader's group. */
  readonly #wilds = new Map<Reader, Promise<readonly Rival[]>>();
  /** Whether the exact name of a channel is an older pattern of a reader's group. */
  readonly #exact = new Map<Reader, Map<string, Promise<Rival | undefined>>>();
  readonly #alive = new Map<string, { readonly until: number; readonly alive: Promise<boolean> }>();

  /** `reader` gives the reader of a consumer in this process. */
  constructor(session: Session, reader: (consumer: string) => Reader | undefined) {
    this.#session = session;
    this.#reader = reader;
  }

  forget(reader: Reader): void {
    this.#wilds.delete(reader);
    this.#exact.delete(reader);
    this.#known.delete(reader);
  }

  /** Is a message of this channel for this reader, and for no other of its group? */
  async isFor(reader: Reader, channel: string): Promise<boolean> {
    const group = reader.group as string;
    const rivals = await this.#older(reader, channel);
    for (const { pattern } of rivals)
      if (matchPattern(pattern, channel) && (await this.#isRead(consumerOf(pattern, group)))) return false;
    return true;
  }

  /** Finds out who was there before, so that no message has to wait for it. */
  async learn(reader: Reader): Promise<void> {
    await this.#older(reader, reader.pattern);
  }

  /** True when it is known already that nobody of the group was there before this reader, for any channel. */
  hasNone(reader: Reader): boolean {
    return reader.group === null || this.#known.has(reader);
  }

  readonly #known = new WeakSet<Reader>();

  async #older(reader: Reader, channel: string): Promise<readonly Rival[]> {
    const isWild = reader.pattern !== channel;
    const wilds = await this.#olderWilds(reader);
    if (!isWild) {
      if (wilds.length === 0) this.#known.add(reader);
      return wilds;
    }
    const exact = await this.#olderExact(reader, channel);
    return exact === undefined ? wilds : [...wilds, exact];
  }

  #olderWilds(reader: Reader): Promise<readonly Rival[]> {
    let found = this.#wilds.get(reader);
    if (found === undefined) {
      found = this.#readWilds(reader);
      this.#wilds.set(reader, found);
      found.catch(() => this.#wilds.delete(reader));
    }
    return found;
  }

  async #readWilds(reader: Reader): Promise<readonly Rival[]> {
    const { api, names } = this.#session;
    const found: Rival[] = [];
    for await (const { message, sequence } of api.under(names.records, names.wilds(reader.group as string))) {
      const pattern = patternIn(message.data);
      const isOlder = sequence < (reader.record ?? Infinity);
      if (pattern !== undefined && pattern !== reader.pattern && isOlder)
        found.push({ pattern, record: sequence });
    }
    return found;
  }

  #olderExact(reader: Reader, channel: string): Promise<Rival | undefined> {
    let known = this.#exact.get(reader);
    if (known === undefined) this.#exact.set(reader, (known = new Map<string, Promise<Rival | undefined>>()));
    let found = known.get(channel);
    if (found === undefined) {
      found = this.#readExact(reader, channel);
      known.set(channel, found);
      found.catch(() => known.delete(channel));
    }
    return found;
  }

  async #readExact(reader: Reader, channel: string): Promise<Rival | undefined> {
    const { api, names } = this.#session;
    const subject = names.record(channel, reader.group as string);
    const found = await api.message(names.records, { last_by_subj: subject });
    if (found === undefined || found.sequence >= (reader.record ?? Infinity)) return undefined;
    return { pattern: channel, record: found.sequence };
  }

  /** Does somebody read this consumer, here or in another process? */
  async #isRead(consumer: string): Promise<boolean> {
    const here = this.#reader(consumer);
    if (here !== undefined && here.members.size > 0) return true;
    const now = this.#session.clock.monotonic();
    const known = this.#alive.get(consumer);
    if (known !== undefined && known.until > now) return known.alive;
    const asking = this.#ask(consumer);
    this.#alive.set(consumer, { until: now + BELIEVED_MS, alive: asking });
    // That nobody reads is not believed for longer than it takes to ask.
    const alive = await asking;
    if (!alive) this.#alive.delete(consumer);
    return alive;
  }

  async #ask(consumer: string): Promise<boolean> {
    const { api, names } = this.#session;
    try {
      return isBusy(await api.consumer(names.stream, consumer));
    } catch (error) {
      if (isConsumerMissing(error)) return false;
      throw error;
    }
  }
}

/** Somebody waits for its messages, or has had some of late: who has no room does not wait. */
function isBusy({ num_waiting, ts, delivered, ack_floor, config }: ConsumerInfo): boolean {
  if (num_waiting > 0) return true;
  const active = [delivered, ack_floor].map(({ last_active }) => Date.parse(last_active ?? "") || 0);
  return Date.parse(ts ?? "") - Math.max(...active) < (2 * (config.ack_wait ?? 0)) / NANOS;
}

/** The pattern that a record tells of. */
export function patternIn(data: Uint8Array): string | undefined {
  try {
    const { pattern } = JSON.parse(Buffer.from(data).toString("utf8")) as { readonly pattern?: unknown };
    return typeof pattern === "string" ? pattern : undefined;
  } catch {
    return undefined;
  }
}
