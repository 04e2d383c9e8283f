import type { Subscription } from "../../core/broker.ts";
import type { Deadline } from "../../core/deadlines.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import { GroupQueue } from "../memory/group-queue.ts";
import { MemorySubscription } from "../memory/subscription.ts";
import { withFailure } from "../shared/failures.ts";
import type { Timers } from "../shared/timers.ts";
import type { Home } from "./channels.ts";
import { KafkaEntry } from "./entry.ts";
import type { Fetched } from "./fetched.ts";
import { keyOf } from "./group.ts";
import { Once } from "./once.ts";
import type { Reader } from "./reader.ts";

/** What a broadcast subscription needs of its broker. */
export interface BroadcastHost {
  readonly timers: Timers;
  startWait(subscription: MemorySubscription, waitMs: number): Deadline<MemorySubscription> | undefined;
  endWait(deadline: Deadline<MemorySubscription>): void;
  read(reader: Reader): void;
  unread(reader: Reader): void;
  readonly dedupeWindowMs: number;
  hungry(reader: Reader): void;
  isErased(channel: string, partition: number, offset: number): boolean;
  left(subscription: BroadcastSubscription): void;
  closed(): HeraldError | undefined;
}

/** One partition of one channel, as a broadcast subscription reads it. */
class BroadcastReader implements Reader {
  readonly topic: string;
  readonly partition: number;
  readonly channel: string | undefined;
  readonly home: Home;
  position: number;
  readonly #owner: BroadcastSubscription;
  readonly #once: Once;

  constructor(
    home: Home,
    place: { readonly partition: number; readonly offset: number },
    owner: BroadcastSubscription,
    once: Once,
  ) {
    this.#once = once;
    this.home = home;
    this.topic = home.topic;
    this.partition = place.partition;
    this.channel = home.shared ? home.channel : undefined;
    this.position = place.offset;
    this.#owner = owner;
  }

  get wants(): boolean {
    return this.#owner.hasRoom;
  }

  take(record: Fetched): boolean {
    if (!this.#once.isRepeat(record)) this.#owner.take(this.home.channel, record);
    return true;
  }

  taken(): void {
    this.#owner.serve();
  }

  lost(): void {
    // It promises nothing of what was there before it read on.
  }
}

/**
 * A listener that gets every message by itself: it reads from a place of its own, which dies with it. Its deliveries have no lease;
 * what it has read waits in this process.
 */
export class BroadcastSubscription implements Subscription {
  readonly pattern: string;
  readonly #prefetch: number;
  readonly #host: BroadcastHost;
  readonly #queue: GroupQueue;
  readonly #inner: MemorySubscription;
  readonly #claimed = new Set<string>();
  readonly #readers = new Map<string, BroadcastReader>();
  #held = 0;
  #closed = false;

  constructor(
    spec: { readonly pattern: string; readonly prefetch: number; readonly strict: boolean },
    host: BroadcastHost,
  ) {
    this.pattern = spec.pattern;
    this.#prefetch = spec.prefetch;
    this.#host = host;
    this.#queue = new GroupQueue({ group: null, pattern: spec.pattern, strict: spec.strict });
    this.#inner = new MemorySubscription(this.#queue, spec.prefetch, {
      startWait: (subscription, waitMs) => host.startWait(subscription, waitMs),
      endWait: (deadline) => host.endWait(deadline),
      settle: (entry, settlement) => this.#settle(entry as KafkaEntry<BroadcastSubscription>, settlement),
      settled: () => {
        this.serve();
        for (const reader of this.#readers.values()) this.#host.hungry(reader);
      },
      left: () => {},
      closed: () => host.closed(),
    });
  }

  get hasRoom(): boolean {
    return !this.#closed && this.#held < this.#prefetch;
  }

  /** True for the first who is about to attach a partition of a channel. */
  claim(home: Home, partition: number): boolean {
    const key = keyOf(home.channel, partition);
    if (this.#claimed.has(key)) return false;
    this.#claimed.add(key);
    return true;
  }

  /** Starts to read a partition of a channel that was claimed. `once`: what was stored of late before the place. */
  attach(home: Home, place: { readonly partition: number; readonly offset: number }, once?: Once): void {
    const key = keyOf(home.channel, place.partition);
    if (this.#closed || !this.#claimed.has(key)) return;
    const seen = once ?? new Once(this.#host.dedupeWindowMs);
    const reader = new BroadcastReader(home, place, this, seen);
    this.#readers.set(key, reader);
    this.#host.read(reader);
  }

  detach(channel: string): void {
    for (const [key, reader] of this.#readers) {
      if (reader.home.channel !== channel) continue;
      this.#readers.delete(key);
      this.#claimed.delete(key);
      this.#host.unread(reader);
    }
  }

  take(channel: string, record: Fetched): void {
    if (this.#closed || this.#host.isErased(channel, record.partition, record.offset)) return;
    this.#held++;
    const envelope = record.envelope(channel);
    const entry = new KafkaEntry<BroadcastSubscription>(this.#queue, envelope, {
      owner: this,
      place: record,
    });
    const waitMs = (envelope.deliverAt ?? 0) - this.#host.timers.clock.now();
    if (waitMs <= 0) this.#queue.push(entry, false);
    else {
      this.#held--;
      this.#later(waitMs, () => {
        this.#held++;
        this.#queue.push(entry, false);
      });
    }
  }

  serve(): void {
    if (this.#queue.canServe) this.#queue.serve();
  }

  receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    return this.#inner.receive(limit, waitMs);
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.#inner.settle(settlements);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.gone = true;
    for (const reader of this.#readers.values()) this.#host.unread(reader);
    this.#readers.clear();
    this.#queue.takeAll();
    await this.#inner.close();
    this.#host.left(this);
  }

  #settle(entry: KafkaEntry<BroadcastSubscription>, settlement: Settlement): void {
    const queue = this.#queue;
    if (settlement.kind === "ack" || queue.gone) {
      this.#held--;
      queue.unlock(entry);
      return;
    }
    const isNack = settlement.kind === "nack";
    const history = {
      attempt: entry.attempt + (isNack ? 1 : 0),
      failures: withFailure(entry.failures, isNack ? settlement.failure : undefined),
    };
    const at = { owner: this, place: entry.place };
    const returning = new KafkaEntry<BroadcastSubscription>(queue, entry.envelope, at, history);
    const delayMs = settlement.kind === "extend" ? 0 : settlement.delayMs;
    if (queue.strict || delayMs <= 0) queue.handOn(entry, returning);
    else queue.unlock(entry);
    if (delayMs > 0) this.#later(delayMs, () => queue.unshift(returning));
    else queue.unshift(returning);
  }

  #later(delayMs: number, ready: () => void): void {
    this.#host.timers.after(delayMs, () => {
      if (this.#closed) return;
      ready();
      this.serve();
    });
  }
}
