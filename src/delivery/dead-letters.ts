import type { Codecs } from "../codec/codecs.ts";
import { toMessage } from "../codec/message.ts";
import type { Broker, BrokerAdmin, StoredEnvelope } from "../core/broker.ts";
import type { Clock } from "../core/clock.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { isDeadLetterChannel } from "../core/names.ts";
import { checkChannel } from "../core/pattern.ts";
import { deadLetterOf } from "./by-hand.ts";
import { factsOf, originalHeaders, redrivenOf, toRedriven, type DeadLetterFacts } from "./dead-letter.ts";

/** A message that was given up on, with everything that is known of why. */
export interface DeadLetterEntry extends DeadLetterFacts {
  readonly id: string;
  /** How often it was sent back before. */
  readonly redriven: number;
  /** The channel of the dead letter, and its place there. */
  readonly deadLetterChannel: string;
  readonly position: string;
  /** The original bytes. */
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined when the bytes cannot be decoded. */
  readonly message: Message | undefined;
}

/** Which dead letters. Everything given must hold. */
export interface DeadLetterFilter {
  readonly id?: string;
  /** The channel they were given up on. */
  readonly channel?: string;
  readonly group?: string;
  readonly code?: string;
  readonly agentId?: string;
  /** One dead-letter channel only; default: all of them. */
  readonly deadLetterChannel?: string;
  /** Last failure before this moment, epoch milliseconds. */
  readonly before?: number;
  /** At most this many, the oldest of each dead-letter channel first. */
  readonly limit?: number;
}

/** Dead letters in numbers. */
export interface DeadLetterStats {
  readonly total: number;
  readonly byChannel: Readonly<Record<string, number>>;
  readonly byCode: Readonly<Record<string, number>>;
  /** Epoch milliseconds; undefined when there is none. */
  readonly oldestAt: number | undefined;
  readonly newestAt: number | undefined;
}

/** What looking after dead letters needs. */
export interface DeadLettersOptions {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly codecs: Codecs;
  readonly agentId: string;
  /** The dead-letter channel of this agent, wherever it is. */
  readonly ownChannel: string;
  readonly publish: (envelope: Envelope) => Promise<unknown>;
}

const PAGE = 500;

interface Found {
  readonly stored: StoredEnvelope;
  readonly facts: DeadLetterFacts;
  readonly channel: string;
  /** Written a second time: whoever gave up died before it had acknowledged the message. */
  readonly isTwin: boolean;
}

/** Every dead letter of the broker: list, get, redrive, purge, count. Needs the broker's `admin`, else `UNSUPPORTED`. */
export class DeadLetters {
  readonly #options: DeadLettersOptions;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** Dead letters, oldest first within each dead-letter channel; 1000 unless `limit` says otherwise. */
  async list(filter: DeadLetterFilter = {}): Promise<readonly DeadLetterEntry[]> {
    checkFilter(filter);
    const entries: DeadLetterEntry[] = [];
    for await (const found of this.#find({ limit: 1000, ...filter }))
      if (!found.isTwin) entries.push(await this.#entry(found));
    return entries;
  }

  /**
   * Gives up on a message by hand; its channel is this agent's own unless another is named. Resolves once the broker has the dead
   * letter. The message itself is settled by its handler as ever.
   */
  async add(message: Message, error: HeraldError, channel = this.#options.ownChannel): Promise<void> {
    checkChannel(channel);
    const { agentId, codecs, clock, publish } = this.#options;
    await publish(await deadLetterOf({ message, error, agentId, channel, codecs, now: clock.now() }));
  }

  /** One dead letter by the message's id; undefined when there is none. */
  async get(id: string): Promise<DeadLetterEntry | undefined> {
    return (await this.list({ id, limit: 1 }))[0];
  }

  /**
   * Sends dead letters back to the channel and the group that gave up on them: same id, attempts from 1, recorded in
   * `x-redrive-*` headers. An id, or a filter (default: all). Resolves to how many went. Each leaves the dead letters only
   * once the broker has it; `NOT_FOUND` for an id that is not there, `INVALID_ARGUMENT` for a filter that is none.
   */
  async redrive(which: string | DeadLetterFilter = {}): Promise<number> {
    const filter = typeof which === "string" ? { id: which } : which;
    const startedAt = this.#options.clock.now();
    const sent = new Set<string>();
    let count = 0;
    for await (const { stored, facts, channel, isTwin } of this.#find(filter)) {
      if (isTwin) {
        await this.#admin().erase(channel, [stored.position]);
        continue;
      }
      // What fails again while this runs is for the next time: else a hopeless message would go round for ever.
      const name = `${stored.envelope.id} ${facts.channel} ${facts.group}`;
      if (facts.lastFailedAt > startedAt || sent.has(name)) continue;
      sent.add(name);
      await this.#options.publish(toRedriven(stored.envelope, facts, this.#options.clock.now()));
      await this.#admin().erase(channel, [stored.position]);
      count++;
    }
    if (count === 0 && typeof which === "string") throw notFound(which);
    return count;
  }

  /** Forgets dead letters for good. An id, or a filter (default: all). Resolves to how many went. `INVALID_ARGUMENT` as for {@link redrive}. */
  async purge(which: string | DeadLetterFilter = {}): Promise<number> {
    const filter = typeof which === "string" ? { id: which } : which;
    let count = 0;
    for await (const { stored, channel, isTwin } of this.#find(filter)) {
      const erased = await this.#admin().erase(channel, [stored.position]);
      if (!isTwin) count += erased;
    }
    return count;
  }

  /** Counts by channel and by code. */
  async stats(filter: DeadLetterFilter = {}): Promise<DeadLetterStats> {
    const byChannel = new Map<string, number>();
    const byCode = new Map<string, number>();
    let [total, oldest, newest] = [0, Infinity, -Infinity];
    for await (const { facts, isTwin } of this.#find(filter)) {
      if (isTwin) continue;
      total++;
      byChannel.set(facts.channel, (byChannel.get(facts.channel) ?? 0) + 1);
      byCode.set(facts.code, (byCode.get(facts.code) ?? 0) + 1);
      oldest = Math.min(oldest, facts.lastFailedAt);
      newest = Math.max(newest, facts.lastFailedAt);
    }
    return {
      total,
      byChannel: Object.fromEntries(byChannel),
      byCode: Object.fromEntries(byCode),
      oldestAt: total === 0 ? undefined : oldest,
      newestAt: total === 0 ? undefined : newest,
    };
  }

  async *#find(filter: DeadLetterFilter): AsyncGenerator<Found> {
    checkFilter(filter);
    let left = filter.limit ?? Infinity;
    const seen = new Set<string>();
    for (const channel of await this.#channels(filter)) {
      let after: string | undefined;
      for (;;) {
        const page = await this.#admin().browse(
          channel,
          after === undefined ? { limit: PAGE } : { after, limit: PAGE },
        );
        for (const stored of page) {
          const facts = factsOf(stored.envelope);
          if (facts === undefined || !matches(filter, stored.envelope.id, facts)) continue;
          const name = nameOf(stored.envelope, facts);
          const isTwin = seen.has(name);
          seen.add(name);
          if (!isTwin && left-- <= 0) return;
          yield { stored, facts, channel, isTwin };
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) break;
        after = last.position;
      }
    }
  }

  async #channels(filter: DeadLetterFilter): Promise<readonly string[]> {
    if (filter.deadLetterChannel !== undefined) return [filter.deadLetterChannel];
    const known = await this.#admin().list();
    return known
      .filter((channel) => isDeadLetterChannel(channel) || channel === this.#options.ownChannel)
      .toSorted();
  }

  #admin(): BrokerAdmin {
    const { admin, name } = this.#options.broker;
    if (admin !== undefined) return admin;
    throw new HeraldError(
      "UNSUPPORTED",
      `The broker '${name}' cannot list what its channels hold: subscribe to the dead-letter channel instead.`,
    );
  }

  async #entry({ stored, facts, channel }: Found): Promise<DeadLetterEntry> {
    const { envelope, position } = stored;
    const headers = originalHeaders(envelope);
    return {
      id: envelope.id,
      ...facts,
      redriven: redrivenOf(headers),
      deadLetterChannel: channel,
      position,
      // A copy: these bytes are what a redrive sends.
      body: new Uint8Array(envelope.body),
      headers,
      message: await this.#decode({ ...envelope, channel: facts.channel, headers }, facts.attempts),
    };
  }

  async #decode(envelope: Envelope, attempts: number): Promise<Message | undefined> {
    try {
      return toMessage(envelope, await this.#options.codecs.decode(envelope, envelope.channel), attempts);
    } catch {
      // What cannot be decoded is why it lies here: its bytes say all there is.
      return undefined;
    }
  }
}

const FILTER_TYPES: Readonly<Record<keyof DeadLetterFilter, "string" | "number">> = {
  id: "string",
  channel: "string",
  group: "string",
  code: "string",
  agentId: "string",
  deadLetterChannel: "string",
  before: "number",
  limit: "number",
};

/** A condition that is misspelt or empty would mean every dead letter, to be forgotten for good. */
function checkFilter(filter: unknown): void {
  if (Object.prototype.toString.call(filter) !== "[object Object]") throw wrongFilter("a filter", filter);
  for (const [name, value] of Object.entries(filter as object)) {
    const type = Object.hasOwn(FILTER_TYPES, name) ? FILTER_TYPES[name as keyof DeadLetterFilter] : undefined;
    if (typeof value !== type || Number.isNaN(value))
      throw wrongFilter(`the filter's ${showValue(name)}`, value);
  }
}

function wrongFilter(what: string, value: unknown): HeraldError {
  const known = Object.entries(FILTER_TYPES).map(([name, type]) => `${name} (${type})`);
  const message = `Dead letters cannot be found by ${what} of ${showValue(value)}: give an id, or an object with any of ${known.join(", ")}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "filter" } });
}

function matches(filter: DeadLetterFilter, id: string, facts: DeadLetterFacts): boolean {
  return (
    (filter.id === undefined || filter.id === id) &&
    (filter.channel === undefined || filter.channel === facts.channel) &&
    (filter.group === undefined || filter.group === facts.group) &&
    (filter.code === undefined || filter.code === facts.code) &&
    (filter.agentId === undefined || filter.agentId === facts.agentId) &&
    (filter.before === undefined || facts.lastFailedAt < filter.before)
  );
}

function notFound(id: string): HeraldError {
  return new HeraldError(
    "NOT_FOUND",
    `There is no dead letter with the id '${id}': list them to see what there is.`,
    { details: { id } },
  );
}

/** One giving-up of one group: the same for a dead letter that was written twice. */
function nameOf({ id, headers }: Envelope, { channel, group, agentId }: DeadLetterFacts): string {
  return JSON.stringify([id, channel, group, agentId, redrivenOf(headers)]);
}
