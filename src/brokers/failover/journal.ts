import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  PublishResult,
} from "../../core/broker.ts";
import { createEnvelope, type Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { INTERNAL_PREFIX, isRepeat } from "./handover.ts";

const CHANNEL = `${INTERNAL_PREFIX}journal`;
const HEADER = "x-herald-journal";
/** An entry that nobody ever took out goes after this long. */
const KEEP_MS = 30 * 86_400_000;
const PAGE = 500;

/** What stands in the header of an entry: what the journal's own channel would act upon. */
interface Carried {
  readonly channel: string;
  readonly key?: string;
  readonly deliverAt?: number;
  readonly expiresAt?: number;
  readonly priority: number;
}

/** An entry that is written. */
export interface Entry {
  readonly channel: string;
  readonly position: string;
}

/** What the journal needs of the rest. */
export interface JournalHost {
  readonly fallback: Broker;
  readonly admin: BrokerAdmin;
  /** Publishes to the primary. */
  publish(envelopes: readonly Envelope[], options: BrokerPublishOptions): Promise<readonly PublishResult[]>;
  /** What both sides hold of these channels. Rejects when one of them does not say. */
  inspect(channels: readonly string[]): Promise<readonly BrokerReport[]>;
  /** Something is waited for. */
  wrote(): void;
}

/**
 * Every message that is published, on the fallback, from before the primary gets it until it was handled: what a primary
 * loses is published again from here.
 */
export class Journal {
  readonly #host: JournalHost;
  /** What is published, and not known to be handled. */
  readonly #tracked = new Map<string, string[]>();
  /** What the primary took since the last mark: a primary may come back without it and still have its mark. */
  readonly #unproven = new Set<string>();

  constructor(host: JournalHost) {
    this.#host = host;
  }

  /** True when nothing waits to be handled. */
  get isIdle(): boolean {
    return this.#tracked.size === 0;
  }

  /** Entries that wait to be handled. */
  get size(): number {
    let size = 0;
    for (const positions of this.#tracked.values()) size += positions.length;
    return size;
  }

  async open(): Promise<void> {
    await this.#host.admin.declare(CHANNEL, { retentionMs: KEEP_MS });
  }

  /** Writes them down. Rejects when the fallback does not take every one. */
  async append(envelopes: readonly Envelope[]): Promise<Entry[]> {
    const results = await this.#host.fallback.publish(envelopes.map(toEntry));
    const entries: Entry[] = [];
    let failed: HeraldError | undefined;
    for (const [at, result] of results.entries()) {
      const channel = envelopes[at]?.channel ?? "";
      if (!result.ok) failed = result.error;
      else if (result.position !== null) entries.push({ channel, position: result.position });
    }
    if (failed === undefined) return entries;
    await this.#erase(entries.map(({ position }) => position));
    throw failed;
  }

  /**
   * What became of them: what is published is kept until it was handled, what was refused is forgotten. `isOnPrimary`: the primary
   * took it itself; what the fallback holds is handed over from there.
   */
  async settle(
    entries: readonly Entry[],
    results: readonly PublishResult[],
    isOnPrimary: (at: number) => boolean,
  ): Promise<void> {
    const refused: string[] = [];
    for (const [at, { channel, position }] of entries.entries()) {
      if (results[at]?.ok !== true) {
        refused.push(position);
        continue;
      }
      this.#track(channel, position);
      if (isOnPrimary(at)) this.#unproven.add(position);
    }
    this.#host.wrote();
    await this.#erase(refused);
  }

  /** Leaves a mark on the primary: a primary that has it has everything that was published before. */
  async prove(leaveMark: () => Promise<void>): Promise<void> {
    const published = [...this.#unproven];
    await leaveMark();
    for (const position of published) this.#unproven.delete(position);
  }

  /** Takes out what was handled: all of a channel of which neither side has anything left. What came after the last mark stays. */
  async trim(): Promise<void> {
    const before = this.#proven();
    if (before.size === 0) return;
    const busy = new Set<string>();
    for (const { channels } of await this.#host.inspect([...before.keys()])) {
      for (const { channel, groups } of channels) if (groups.some(({ lag }) => lag !== 0)) busy.add(channel);
    }
    for (const [channel, positions] of before) {
      if (busy.has(channel)) continue;
      await this.#erase(positions);
      const erased = new Set(positions);
      // More may have been written meanwhile.
      const left = (this.#tracked.get(channel) ?? []).filter((position) => !erased.has(position));
      if (left.length === 0) this.#tracked.delete(channel);
      else this.#tracked.set(channel, left);
    }
  }

  #proven(): Map<string, string[]> {
    const proven = new Map<string, string[]>();
    for (const [channel, positions] of this.#tracked) {
      const those = positions.filter((position) => !this.#unproven.has(position));
      if (those.length > 0) proven.set(channel, those);
    }
    return proven;
  }

  /** Publishes everything that is written down to the primary, oldest first; resolves to how many were new to it. */
  redrive(): Promise<number> {
    return this.#redrive(() => true);
  }

  /** The same for what was published since the last mark. */
  async redriveUnproven(): Promise<number> {
    const published = new Set(this.#unproven);
    return published.size === 0 ? 0 : this.#redrive((position) => published.has(position));
  }

  async #redrive(isMeant: (position: string) => boolean): Promise<number> {
    let stored = 0;
    let after: string | undefined;
    const tracked = new Map<string, string[]>();
    for (;;) {
      const found = await this.#host.admin.browse(CHANNEL, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      if (found.length === 0) break;
      after = found.at(-1)?.position;
      const page = found.filter(({ position }) => isMeant(position));
      const envelopes = page.map(({ envelope }) => fromEntry(envelope));
      stored += await this.#publish(
        envelopes.filter((envelope) => !isRepeat(envelope)),
        true,
      );
      stored += await this.#publish(envelopes.filter(isRepeat), false);
      for (const [at, { position }] of page.entries()) {
        const channel = envelopes[at]?.channel ?? "";
        const positions = tracked.get(channel) ?? [];
        positions.push(position);
        tracked.set(channel, positions);
      }
    }
    this.#adopt(tracked);
    return stored;
  }

  async #publish(envelopes: readonly Envelope[], dedupe: boolean): Promise<number> {
    if (envelopes.length === 0) return 0;
    let stored = 0;
    for (const result of await this.#host.publish(envelopes, { dedupe })) {
      if (!result.ok) throw toHeraldError(result.error);
      if (!result.deduplicated) stored++;
    }
    return stored;
  }

  /** What was found is waited for too. */
  #adopt(found: ReadonlyMap<string, readonly string[]>): void {
    for (const [channel, positions] of found) {
      const known = new Set(this.#tracked.get(channel));
      for (const position of positions) {
        this.#unproven.add(position);
        if (!known.has(position)) this.#track(channel, position);
      }
    }
  }

  #track(channel: string, position: string): void {
    const positions = this.#tracked.get(channel);
    if (positions === undefined) this.#tracked.set(channel, [position]);
    else positions.push(position);
  }

  async #erase(positions: readonly string[]): Promise<void> {
    if (positions.length > 0) await this.#host.admin.erase(CHANNEL, positions);
  }
}

function toEntry(envelope: Envelope): Envelope {
  const { channel, key, deliverAt, expiresAt, priority } = envelope;
  const carried = JSON.stringify({ channel, key, deliverAt, expiresAt, priority });
  return createEnvelope({
    ...envelope,
    channel: CHANNEL,
    key: undefined,
    deliverAt: undefined,
    expiresAt: undefined,
    priority: undefined,
    headers: { ...envelope.headers, [HEADER]: carried },
  });
}

function fromEntry(entry: Envelope): Envelope {
  const { [HEADER]: text = "{}", ...headers } = entry.headers;
  const { channel, key, deliverAt, expiresAt, priority } = JSON.parse(text) as Carried;
  return createEnvelope({ ...entry, channel, key, deliverAt, expiresAt, priority, headers });
}
