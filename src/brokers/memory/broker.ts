import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { bodyTooLarge, checkSpec } from "../../core/broker-checks.ts";
import { Deadlines, type Deadline } from "../../core/deadlines.ts";
import type { Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { MemoryAdmin } from "./admin.ts";
import { Alive } from "./alive.ts";
import { Capacity } from "./capacity.ts";
import { withFailure } from "../shared/failures.ts";
import { notOpen } from "../shared/lifecycle.ts";
import { Accepted, Entry, type EntryQueue } from "./entry.ts";
import type { GroupQueue } from "./group-queue.ts";
import { memorySettings, type MemoryBrokerOptions, type MemorySettings } from "./options.ts";
import { SeenIds } from "./seen-ids.ts";
import { MemorySubscription, type SubscriptionHost } from "./subscription.ts";
import { startOf, type Wanted } from "./start-from.ts";
import { Topology, type Channel } from "./topology.ts";

export type { MemoryBrokerOptions, Overflow } from "./options.ts";

/**
 * The broker that needs nothing: every ability but a lease, in this process, gone with it. Durability `none`.
 * Groups live as long as the broker, so what is published while an agent is away waits for it.
 */
export class MemoryBroker implements Broker {
  readonly name = "memory";
  readonly admin: BrokerAdmin;
  readonly #settings: MemorySettings;
  readonly #topology: Topology;
  readonly #capacity: Capacity;
  readonly #seen: SeenIds;
  readonly #delayed: Deadlines<Entry>;
  readonly #waits: Deadlines<MemorySubscription>;
  readonly #host: SubscriptionHost;
  readonly #dirty = new Set<GroupQueue>();
  readonly #alive = new Alive();
  #state: "new" | "open" | "closed" = "new";
  #sequence = 0;
  #dropped = 0;
  #replayBytes = 0;

  constructor(options: MemoryBrokerOptions = {}) {
    const settings = memorySettings(options);
    this.#settings = settings;
    this.#topology = new Topology(settings, (_messages, bytes) => (this.#replayBytes += bytes));
    this.#capacity = new Capacity(settings);
    this.#seen = new SeenIds(settings.clock, settings.dedupeWindowMs);
    this.admin = new MemoryAdmin(this.#topology, settings, {
      account: (messages, bytes) => this.#capacity.add(messages, bytes),
      empty: (queue, channel) => this.#empty(queue, channel),
    });
    this.#delayed = new Deadlines(settings.clock, (entry) => this.#due(entry));
    this.#waits = new Deadlines(settings.clock, (subscription) => subscription.giveUp());
    this.#host = {
      startWait: (subscription, waitMs) =>
        waitMs === Infinity ? undefined : this.#waits.add(waitMs, subscription),
      endWait: (deadline: Deadline<MemorySubscription>) => this.#waits.cancel(deadline),
      settle: (entry, settlement) => this.#settle(entry, settlement),
      settled: (queue) => this.#afterSettling(queue),
      left: (subscription) => this.#leave(subscription),
      closed: () => (this.#state === "closed" ? closed() : undefined),
    };
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  open(): Promise<Capabilities> {
    if (this.#state === "open")
      return Promise.reject(new HeraldError("ALREADY_EXISTS", "This memory broker is open already."));
    if (this.#state === "closed") return Promise.reject(closed());
    this.#state = "open";
    const replay = this.#settings.replay > 0;
    return Promise.resolve({
      durability: "none",
      ordering: "key",
      groups: true,
      broadcast: true,
      wildcard: true,
      priority: true,
      delay: true,
      nackDelay: true,
      replayByPosition: replay,
      replayByTime: replay,
      lag: true,
      exactAttempts: true,
      lease: false,
      dedupe: true,
      maxBatch: 10_000,
      maxBodyBytes: this.#settings.maxBodyBytes,
    });
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    if (this.#state !== "open") throw closed();
    const results: (PublishResult | Promise<PublishResult>)[] = [];
    const dedupe = options.dedupe === true;
    let isLate = false;
    // Nobody is waited for in between: the rest of this call stands in line before whatever is published later.
    for (const envelope of envelopes) {
      const result = this.#accept(envelope, dedupe);
      isLate ||= result instanceof Promise;
      results.push(result);
    }
    this.#serve();
    return isLate
      ? Promise.all(results.map((result) => Promise.resolve(result)))
      : (results as PublishResult[]);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (this.#state !== "open") throw closed();
    checkSpec(spec);
    const wanted = startOf(spec.from, this.#settings.replay);
    const { queue, isNew } = this.#topology.join(spec);
    const subscription = new MemorySubscription(queue, spec.prefetch, this.#host);
    queue.members.add(subscription);
    this.#alive.enter();
    if (queue.members.size === 1) this.#topology.forgetRoutes();
    if (isNew && wanted !== undefined) this.#replay(queue, wanted);
    return subscription;
  }

  inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    const { channels } = this.#topology;
    const names = query.channels ?? [...channels.keys()];
    return Promise.resolve({
      state: this.#state === "open" ? "up" : "down",
      dropped: this.#dropped,
      channels: names.flatMap((name) => {
        const channel = channels.get(name);
        return channel === undefined ? [] : [this.#topology.report(channel)];
      }),
    });
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#capacity.close(closed());
    this.#delayed.clear();
    for (const queue of this.#topology.queues()) {
      for (const member of queue.members) await member.close();
    }
    this.#waits.clear();
  }

  /** Stores one envelope now, or waits for room: a promise only in that case. */
  #accept(envelope: Envelope, dedupe: boolean): PublishResult | Promise<PublishResult> {
    const bytes = envelope.body.byteLength;
    if (bytes > this.#settings.maxBodyBytes)
      return { ok: false, error: bodyTooLarge(bytes, this.#settings.maxBodyBytes) };
    let channel: Channel;
    try {
      channel = this.#topology.channel(envelope.channel);
    } catch (error) {
      return { ok: false, error: toHeraldError(error) };
    }
    const known = dedupe ? this.#seen.get(envelope.id) : undefined;
    if (known !== undefined) return new Accepted(known, 0, true);
    const copies = this.#topology.route(channel).length;
    const needed = copies + (channel.log.retentionMs === undefined ? 0 : 1);
    if (!this.#capacity.fits(needed, bytes * needed)) return this.#acceptWhenFull(envelope, channel, dedupe);
    this.#capacity.add(copies, bytes * copies);
    return this.#store(envelope, channel, dedupe);
  }

  #acceptWhenFull(
    envelope: Envelope,
    channel: Channel,
    dedupe: boolean,
  ): PublishResult | Promise<PublishResult> {
    const copies = this.#topology.route(channel).length;
    const bytes = envelope.body.byteLength * copies;
    const { overflow } = this.#settings;
    this.#topology.expire(this.#settings.clock.now());
    this.#capacity.admit();
    // A dead letter that nobody reads takes the room that its message is about to leave: refused, it would wedge a full broker.
    const isFree = copies === 0 && this.#capacity.isWithinLimits;
    if (isFree || this.#capacity.fits(copies, bytes)) return this.#reserve(envelope, channel, dedupe);
    if (overflow === "reject" || this.#capacity.neverFits(copies, bytes))
      return { ok: false, error: this.#capacity.overloaded() };
    if (overflow === "block") {
      return new Promise((resolve) => {
        this.#capacity.wait(copies, bytes, (error) =>
          resolve(error === undefined ? this.#storeLate(envelope, copies, dedupe) : { ok: false, error }),
        );
      });
    }
    while (!this.#capacity.fits(copies, bytes)) {
      if (!this.#dropOldest()) return { ok: false, error: this.#capacity.overloaded() };
    }
    return this.#reserve(envelope, channel, dedupe);
  }

  #reserve(envelope: Envelope, channel: Channel, dedupe: boolean): PublishResult {
    const copies = this.#topology.route(channel).length;
    this.#capacity.add(copies, envelope.body.byteLength * copies);
    return this.#store(envelope, channel, dedupe);
  }

  /** Room has come and is reserved. Meanwhile the id may have been stored, somebody may have subscribed or left, the channel gone. */
  #storeLate(envelope: Envelope, copies: number, dedupe: boolean): PublishResult {
    this.#capacity.remove(copies, envelope.body.byteLength * copies);
    const known = dedupe ? this.#seen.get(envelope.id) : undefined;
    if (known !== undefined) return new Accepted(known, 0, true);
    try {
      const result = this.#reserve(envelope, this.#topology.channel(envelope.channel), dedupe);
      this.#serve();
      return result;
    } catch (error) {
      return { ok: false, error: toHeraldError(error) };
    }
  }

  #store(published: Envelope, channel: Channel, dedupe: boolean): PublishResult {
    const isForLong = channel.log.retentionMs !== undefined || published.deliverAt !== undefined;
    const envelope = isForLong ? withOwnBytes(published) : published;
    const sequence = ++this.#sequence;
    if (dedupe) this.#seen.add(envelope.id, sequence);
    this.#retain(envelope, channel, sequence);
    const route = this.#topology.route(channel);
    const exclusive = route.length === 1;
    for (const queue of route) this.#enqueue(queue, envelope, sequence, exclusive);
    return new Accepted(sequence, route.length, false);
  }

  #enqueue(queue: GroupQueue, envelope: Envelope, sequence: number, exclusive: boolean): void {
    const tally = queue.tallyOf(envelope.channel);
    const entry = new Entry(queue, envelope, { sequence, tally });
    tally.lag++;
    const delayMs = envelope.deliverAt === undefined ? 0 : envelope.deliverAt - this.#settings.clock.now();
    if (delayMs > 0) this.#delayed.add(delayMs, entry);
    else queue.push(entry, exclusive);
    if (queue.canServe) this.#dirty.add(queue);
  }

  #retain(envelope: Envelope, channel: Channel, sequence: number): void {
    // Only what is kept by age needs to know its age exactly.
    const now = channel.log.retentionMs === undefined ? envelope.time : this.#settings.clock.now();
    channel.log.append(envelope, sequence, now);
    while (this.#replayBytes > this.#settings.replayBytes) {
      if (!this.#topology.forgetReplay(channel)) return;
    }
  }

  #settle(entry: Entry, settlement: Settlement): void {
    const { queue } = entry;
    if (settlement.kind === "ack" || entry.isObsolete) {
      this.#end(entry);
      return;
    }
    const nacked = settlement.kind === "nack";
    const history = {
      attempt: entry.attempt + (nacked ? 1 : 0),
      failures: withFailure(entry.failures, nacked ? settlement.failure : undefined),
    };
    const returning = new Entry(queue, entry.envelope, entry, history);
    const delayMs = settlement.kind === "extend" ? 0 : settlement.delayMs;
    if (queue.strict || delayMs <= 0) queue.handOn(entry, returning);
    else queue.unlock(entry);
    if (delayMs > 0) this.#delayed.add(delayMs, returning);
    else queue.unshift(returning);
  }

  #afterSettling(queue: EntryQueue): void {
    this.#capacity.admit();
    if (queue.canServe) queue.serve();
  }

  /** A delay is over: the entry is ready, before those published after it. */
  #due(entry: Entry): void {
    if (entry.isObsolete) {
      this.#end(entry);
      this.#afterSettling(entry.queue);
      return;
    }
    entry.queue.unshift(entry);
    if (entry.queue.canServe) entry.queue.serve();
  }

  /** An entry leaves the broker. */
  #end(entry: Entry): void {
    entry.tally.lag--;
    this.#capacity.remove(1, entry.envelope.body.byteLength);
    entry.queue.unlock(entry);
  }

  #dropOldest(): boolean {
    const fullest = this.#topology
      .queues()
      .reduce<GroupQueue | undefined>(
        (most, queue) => (most === undefined || queue.waiting > most.waiting ? queue : most),
        undefined,
      );
    const entry = fullest?.dropOldest();
    if (entry === undefined) return false;
    this.#end(entry);
    this.#dropped++;
    return true;
  }

  /** Ends what waits in a queue for one channel, or for all; what is delayed or handed out ends when it comes back. */
  #empty(queue: GroupQueue, channel?: string): void {
    if (channel !== undefined) queue.tallyOf(channel).purgedThrough = this.#sequence;
    for (const entry of queue.takeAll(channel)) this.#end(entry);
    this.#capacity.admit();
  }

  #serve(): void {
    if (this.#dirty.size === 0) return;
    for (const queue of this.#dirty) queue.serve();
    this.#dirty.clear();
  }

  #leave(subscription: MemorySubscription): void {
    const { queue } = subscription;
    queue.members.delete(subscription);
    this.#alive.leave();
    if (queue.group === null) {
      queue.gone = true;
      this.#topology.drop(queue);
      this.#empty(queue);
    } else if (queue.members.size === 0) this.#topology.forgetRoutes();
  }

  #replay(queue: GroupQueue, wanted: Wanted): void {
    const found = this.#topology
      .covered(queue.pattern)
      .flatMap((channel) => [...channel.log.after(0)].filter(wanted));
    found.sort((a, b) => a.sequence - b.sequence);
    for (const { envelope, sequence } of found) {
      this.#capacity.add(1, envelope.body.byteLength);
      this.#enqueue(queue, envelope, sequence, false);
    }
  }
}

/** Small bodies share a buffer. One that stays for hours must not keep those alive that were published beside it. */
function withOwnBytes(envelope: Envelope): Envelope {
  const { body } = envelope;
  return body.byteLength === body.buffer.byteLength ? envelope : { ...envelope, body: new Uint8Array(body) };
}

const closed = (): HeraldError => notOpen("memory");
