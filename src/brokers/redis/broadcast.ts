import type { Subscription } from "../../core/broker.ts";
import { Deadlines, type Deadline } from "../../core/deadlines.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import type { HeraldError } from "../../core/errors.ts";
import { createTally, Entry } from "../memory/entry.ts";
import { withFailure } from "../shared/failures.ts";
import { GroupQueue } from "../memory/group-queue.ts";
import { MemorySubscription, type SubscriptionHost } from "../memory/subscription.ts";
import { envelopeOfFields } from "./codec.ts";
import { compareIds, positionOf, streamOf, type Lane } from "./keys.ts";
import { TAILS } from "./scripts-publish.ts";
import type { Session } from "./session.ts";

/** What a broadcast subscription needs of its broker. */
export interface BroadcastHost {
  readonly session: Session;
  left(subscription: BroadcastSubscription): void;
  closed(): HeraldError | undefined;
}

type Read =
  | readonly [stream: string, entries: readonly (readonly [string, readonly string[] | null])[]][]
  | null;

/** What of an ephemeral channel may wait in memory; more is dropped and counted. */
const MAX_LIVE = 10_000;
const NOBODY_COUNTS = createTally();

/** An entry whose place is one in Redis. */
class StreamEntry extends Entry {
  readonly #position: string;

  constructor(
    queue: GroupQueue,
    envelope: Envelope,
    position: string,
    history?: { attempt: number; failures: Entry["failures"] },
  ) {
    super(queue, envelope, { sequence: Infinity, tally: NOBODY_COUNTS }, history);
    this.#position = position;
  }

  override get position(): string {
    return this.#position;
  }
}

/**
 * A listener that gets every message by itself: it reads streams from a position of its own, which dies with it, and hears
 * the channels that are not stored. Its deliveries have no lease; what it has read waits in this process.
 */
export class BroadcastSubscription implements Subscription {
  readonly pattern: string;
  readonly #prefetch: number;
  readonly #host: BroadcastHost;
  readonly #queue: GroupQueue;
  readonly #inner: MemorySubscription;
  readonly #waits: Deadlines<MemorySubscription>;
  readonly #delayed: Deadlines<StreamEntry>;
  /** How far each stream has been read, by channel and lane. */
  readonly #places = new Map<string, Map<Lane, string>>();
  readonly #dirty = new Set<string>();
  #held = 0;
  #filling: Promise<void> | undefined;
  #closed = false;
  #dropped = 0;

  constructor(
    spec: { readonly pattern: string; readonly prefetch: number; readonly strict: boolean },
    host: BroadcastHost,
  ) {
    this.pattern = spec.pattern;
    this.#prefetch = spec.prefetch;
    this.#host = host;
    const { clock } = host.session;
    this.#queue = new GroupQueue({ group: null, pattern: spec.pattern, strict: spec.strict });
    this.#waits = new Deadlines(clock, (subscription) => subscription.giveUp());
    this.#delayed = new Deadlines(clock, (entry) => this.#return(entry));
    const inner: SubscriptionHost = {
      startWait: (subscription, waitMs) =>
        waitMs === Infinity ? undefined : this.#waits.add(waitMs, subscription),
      endWait: (deadline: Deadline<MemorySubscription>) => this.#waits.cancel(deadline),
      settle: (entry, settlement) => this.#settle(entry as StreamEntry, settlement),
      settled: (queue) => {
        if (queue.canServe) queue.serve();
        void this.#fill();
      },
      left: () => {},
      closed: () => host.closed(),
    };
    this.#inner = new MemorySubscription(this.#queue, spec.prefetch, inner);
  }

  /** Messages of channels that are not stored, which there was no room for. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Starts to read a channel: after its end, or from `start`. */
  async attach(channel: string, start: string): Promise<void> {
    const { session } = this.#host;
    const places = new Map<Lane, string>();
    if (!this.#places.has(channel)) this.#places.set(channel, places);
    const tails = (await session.run(TAILS, session.keys.base(channel), [])) as string[];
    for (let at = 0; at + 1 < tails.length; at += 2) {
      const lane = tails[at] as Lane;
      if (!places.has(lane)) places.set(lane, start === "$" ? (tails[at + 1] as string) : start);
    }
    this.wake(channel);
  }

  detach(channel: string): void {
    this.#places.delete(channel);
    this.#dirty.delete(channel);
  }

  /** A channel may have something. A lane that is new is read from its beginning. */
  wake(channel: string, lane?: Lane): void {
    const places = this.#places.get(channel);
    if (places === undefined || this.#closed) return;
    if (lane !== undefined && !places.has(lane)) places.set(lane, "0-0");
    this.#dirty.add(channel);
    void this.#fill();
  }

  /** Finds what no message told of: entries written by hand, lanes that are new. */
  async look(): Promise<void> {
    const { session } = this.#host;
    for (const [channel, places] of this.#places) {
      const tails = (await session.run(TAILS, session.keys.base(channel), [])) as string[];
      for (let at = 0; at + 1 < tails.length; at += 2) {
        const lane = tails[at] as Lane;
        const place = places.get(lane) ?? "0-0";
        places.set(lane, place);
        if (compareIds(place, tails[at + 1] as string) < 0) this.wake(channel);
      }
    }
  }

  /** A message of a channel that is not stored. */
  hear(envelope: Envelope): void {
    if (this.#closed) return;
    if (this.#held >= MAX_LIVE + this.#prefetch) this.#dropped++;
    else this.#push(new StreamEntry(this.#queue, envelope, ""));
    if (this.#queue.canServe) this.#queue.serve();
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#closed) return this.#inner.receive(limit, waitMs);
    // What was published before this call is read before it can answer with nothing.
    if (this.#queue.ready === 0 && this.#dirty.size > 0 && !(waitMs > 0)) await this.#fill();
    return this.#inner.receive(limit, waitMs);
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.#inner.settle(settlements);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.gone = true;
    this.#waits.clear();
    this.#delayed.clear();
    this.#queue.takeAll();
    await this.#inner.close();
    this.#host.left(this);
  }

  #push(entry: StreamEntry): void {
    this.#held++;
    this.#queue.push(entry, false);
  }

  #settle(entry: StreamEntry, settlement: Settlement): void {
    const queue = this.#queue;
    if (settlement.kind === "ack" || queue.gone) {
      this.#held--;
      queue.unlock(entry);
      return;
    }
    const isNack = settlement.kind === "nack";
    const returning = new StreamEntry(queue, entry.envelope, entry.position, {
      attempt: entry.attempt + (isNack ? 1 : 0),
      failures: withFailure(entry.failures, isNack ? settlement.failure : undefined),
    });
    const delayMs = settlement.kind === "extend" ? 0 : settlement.delayMs;
    if (queue.strict || delayMs <= 0) queue.handOn(entry, returning);
    else queue.unlock(entry);
    if (delayMs > 0) this.#delayed.add(delayMs, returning);
    else queue.unshift(returning);
  }

  #return(entry: StreamEntry): void {
    this.#queue.unshift(entry);
    if (this.#queue.canServe) this.#queue.serve();
  }

  /** Reads while there is room and something to read; one fill is under way at a time. */
  #fill(): Promise<void> {
    if (this.#filling !== undefined) return this.#filling;
    if (this.#dirty.size === 0 || !this.#host.session.isUp) return Promise.resolve();
    const filling = this.#readAll().finally(() => (this.#filling = undefined));
    this.#filling = filling;
    return filling;
  }

  async #readAll(): Promise<void> {
    for (const channel of this.#dirty) {
      const room = this.#prefetch - this.#held;
      if (room <= 0 || this.#closed) return;
      this.#dirty.delete(channel);
      try {
        await this.#readChannel(channel, room);
      } catch {
        // It is read again when the connection stands or the channel wakes.
        this.#dirty.add(channel);
        return;
      }
    }
  }

  async #readChannel(channel: string, room: number): Promise<void> {
    const { session } = this.#host;
    const base = session.keys.base(channel);
    const places = this.#places.get(channel) ?? new Map<Lane, string>();
    const lanes = [...places.keys()];
    if (lanes.length === 0) return;
    const streams = lanes.map((lane) => streamOf(base, lane));
    const ids = lanes.map((lane) => places.get(lane) as string);
    const reply = (await session.send(base, [
      "XREAD",
      "COUNT",
      String(room),
      "STREAMS",
      ...streams,
      ...ids,
    ])) as Read;
    if (reply === null || this.#closed) return;
    const read = reply.flatMap(([stream, entries]) => {
      const lane = lanes[streams.indexOf(stream)] as Lane;
      return entries.map(([id, fields]) => ({ lane, id, fields: fields ?? [] }));
    });
    if (reply.length > 1) read.sort((a, b) => compareIds(a.id, b.id));
    if (read.length >= room) this.#dirty.add(channel);
    for (const { lane, id, fields } of read.slice(0, Math.max(0, this.#prefetch - this.#held))) {
      places.set(lane, id);
      this.#push(new StreamEntry(this.#queue, envelopeOfFields(channel, id, fields), positionOf(lane, id)));
    }
    if (this.#queue.canServe) this.#queue.serve();
  }
}
