import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { envelopeOfFields } from "./codec.ts";
import { RedisDelivery, type Home, type Note } from "./delivery.ts";
import { replyCode } from "./errors.ts";
import { DEFAULT_LANE, streamOf, type Lane } from "./keys.ts";
import type { Session } from "./session.ts";
import { JOIN } from "./scripts-publish.ts";
import { READ } from "./scripts-consume.ts";
import { SWEEP } from "./scripts-sweep.ts";

/** A subscription, as the channels it reads know it. */
export interface Member {
  readonly strict: boolean;
  /** This channel may have something. */
  wake(group: ChannelGroup): void;
}

/** What one read found. */
export interface Found {
  readonly deliveries: readonly RedisDelivery[];
  /** A message whose owners died is to be handed out alone: nothing more is read until everything held is settled. */
  readonly alone: boolean;
}

type Entry = readonly [id: string, fields: readonly string[] | null];
type Handed = readonly [lane: Lane, id: string, fields: readonly string[], count: number, note: string];
type Swept = readonly [
  ready: number,
  unread: number,
  soonestMs: number,
  moved: number,
  lost: number,
  missing: number,
  lag: number,
  added: number,
  lanes: readonly Lane[],
  cursors: readonly string[],
];

const NOTHING: Found = { deliveries: [], alone: false };
/** A loss is told after so many looks at the latest, under constant traffic with what passed meanwhile counted too. */
const MOST_POSTPONED = 8;

/** One group on one channel, as this process reads it. One read is under way at a time. */
export class ChannelGroup implements Home {
  readonly channel: string;
  readonly group: string;
  readonly base: string;
  readonly members = new Set<Member>();
  /** There may be something to read. */
  dirty = true;
  isReading = false;
  unsettled = 0;
  dueAt = Infinity;
  /** Looked at more often while things happen. */
  activeAt = 0;
  readonly #session: Session;
  #lanes: readonly Lane[] = [];
  /** Something was given back, or nobody knows yet: a plain read would pass it over. */
  #hasReady = true;
  #cursors: readonly string[] = [];
  #sweeps = 0;
  /** Unread or unacknowledged when last looked at; null while unknown. */
  #lag: number | null = null;
  /** How many entries were ever added to the streams, when last looked at. */
  #added = 0;
  /** Moves with every change of the lag that this process makes. */
  #changes = 0;
  #postponed = 0;

  constructor(session: Session, channel: string, group: string) {
    this.#session = session;
    this.channel = channel;
    this.group = group;
    this.base = session.keys.base(channel);
  }

  get strict(): boolean {
    for (const member of this.members) if (member.strict) return true;
    return false;
  }

  /** Makes the group where it lacks. `start` holds where it is new. */
  async join(start: string): Promise<void> {
    this.#lanes = (await this.#session.run(JOIN, this.base, [this.group, start])) as Lane[];
  }

  /** Something was published, or given back, or may have been. */
  wake(cause?: { readonly lane?: Lane; readonly ready?: boolean }): void {
    if (cause?.ready === true) this.#hasReady = true;
    const lane = cause?.lane;
    if (lane !== undefined && !this.#lanes.includes(lane)) this.#lanes = [...this.#lanes, lane];
    this.dirty = true;
    this.activeAt = this.#session.clock.monotonic();
    this.#tell();
  }

  /** Members are told in turn: the one that reads now is told last the next time. */
  #tell(): void {
    for (const member of this.members) {
      if (!this.dirty || this.isReading) return;
      member.wake(this);
      if (!this.isReading) continue;
      this.members.delete(member);
      this.members.add(member);
      return;
    }
  }

  /** Counts what this process published: what is lost is counted from it. */
  published(count: number): void {
    this.#changes++;
    if (this.#lag !== null) this.#lag += count;
  }

  acknowledged(count: number): void {
    this.#changes++;
    if (this.#lag !== null) this.#lag = Math.max(0, this.#lag - count);
  }

  /** At most `limit` entries, for a member that holds others or none. Afterwards every member is told if there may be more. */
  async read(limit: number, holds: boolean): Promise<Found> {
    this.isReading = true;
    this.dirty = false;
    try {
      const isPlain = !this.#hasReady && this.#lanes.length === 1 && this.#lanes[0] === DEFAULT_LANE;
      return await (isPlain ? this.#readPlain(limit) : this.#readAll(limit, holds));
    } catch (error) {
      this.dirty = true;
      const code = replyCode(error);
      if (code !== "NOGROUP" && code !== "UNBLOCKED") throw error;
      await this.recover();
      return NOTHING;
    } finally {
      this.isReading = false;
      this.#tell();
    }
  }

  async #readPlain(limit: number): Promise<Found> {
    const { clock, consumer, leaseMs } = this.#session;
    const leaseUntil = clock.monotonic() + leaseMs;
    const args = [
      "XREADGROUP",
      "GROUP",
      this.group,
      consumer,
      "COUNT",
      String(limit),
      "STREAMS",
      this.base,
      ">",
    ];
    const reply = (await this.#session.send(this.base, args)) as readonly [string, readonly Entry[]][] | null;
    const entries = reply?.[0]?.[1];
    if (entries === undefined) return NOTHING;
    if (entries.length >= limit) this.dirty = true;
    const deliveries: RedisDelivery[] = [];
    for (const [id, fields] of entries) {
      const envelope = envelopeOfFields(this.channel, id, fields ?? []);
      const delivery = new RedisDelivery(this, { lane: DEFAULT_LANE, id, count: 1, envelope }, leaseMs);
      delivery.leaseUntil = leaseUntil;
      deliveries.push(delivery);
    }
    return { deliveries, alone: false };
  }

  async #readAll(limit: number, holds: boolean): Promise<Found> {
    const { clock, consumer, leaseMs } = this.#session;
    const leaseUntil = clock.monotonic() + leaseMs;
    this.#hasReady = false;
    const flags = [this.strict ? "1" : "0", holds ? "1" : "0"];
    const args = [this.group, consumer, String(limit), ...flags];
    let reply: readonly [readonly Handed[], number, number, number, number];
    try {
      reply = (await this.#session.run(READ, this.base, args)) as typeof reply;
    } catch (error) {
      this.#hasReady = true;
      throw error;
    }
    const [handed, lost, alone, ready, isFull] = reply;
    if (ready > 0) this.#hasReady = true;
    if (isFull === 1 || ready > 0) this.dirty = true;
    if (lost > 0) this.#lost(lost);
    const deliveries = handed.map(([lane, id, fields, count, raw]) => {
      const envelope = envelopeOfFields(this.channel, id, fields);
      const note = raw === "" ? undefined : (JSON.parse(raw) as Note);
      const delivery = new RedisDelivery(this, { lane, id, count, envelope }, leaseMs, note);
      delivery.leaseUntil = leaseUntil;
      return delivery;
    });
    return { deliveries, alone: alone > 0 };
  }

  async sweep(): Promise<number> {
    const { consumer, leaseMs } = this.#session;
    const tidy = this.#sweeps++ % 8 === 1 ? "1" : "0";
    const args = [this.group, consumer, String(leaseMs), tidy, ...this.#cursors];
    const changes = this.#changes;
    const swept = (await this.#session.run(SWEEP, this.base, args)) as Swept;
    const [ready, unread, soonestMs, moved, lost, missing, lag, added, lanes, cursors] = swept;
    this.#lanes = lanes;
    this.#cursors = cursors;
    if (lost > 0) this.#lost(lost);
    if (missing > 0 || lanes.length === 0) await this.recover();
    else if (added >= this.#added || (await this.#isCounted(changes))) {
      // A count that falls is another stream's: the one before was deleted with what had not been handled.
      if (added < this.#added && this.#lag !== null && this.#lag > lag) this.#lost(this.#lag - lag);
      this.#lag = lag;
      this.#added = added;
    }
    if (moved > 0) this.#session.announce(this.channel, DEFAULT_LANE);
    if (ready > 0) this.wake({ ready: true });
    else if (unread > 0 || moved > 0) this.wake();
    return soonestMs;
  }

  /** True when nothing was published or acknowledged here since that count: what is known here and there is of one moment. */
  async #isCounted(changes: number): Promise<boolean> {
    // Whoever was answered before has counted by then.
    await new Promise((resolve) => setImmediate(resolve));
    const isCounted = this.#changes === changes || ++this.#postponed > MOST_POSTPONED;
    if (isCounted) this.#postponed = 0;
    return isCounted;
  }

  /** The stream or the group is gone: makes them again, so that whatever is published from now on, or was just now, is read. */
  async recover(): Promise<void> {
    // What is published from here on is not lost.
    const lag = this.#lag;
    this.#lag = 0;
    this.#added = 0;
    await this.#session.restore(this.channel);
    await this.join("0");
    if (lag !== 0) this.#lost(lag);
    this.wake({ ready: true });
  }

  #lost(count: number | null): void {
    const { channel, group } = this;
    const what = count === null ? "An unknown number of" : String(count);
    const error = new HeraldError(
      "DATA_LOSS_DETECTED",
      `${what} messages of '${channel}' are gone from Redis before group '${group}' had handled them: somebody deleted or trimmed the stream, or the server lost data.`,
      { details: { channel, group, count } },
    );
    emit("dataLost", () => ({ broker: "redis", channel, group, count, error }));
  }

  stream(lane: Lane): string {
    return streamOf(this.base, lane);
  }
}
