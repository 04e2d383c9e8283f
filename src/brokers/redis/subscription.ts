import type { Commit, Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Deadline, Deadlines } from "../../core/deadlines.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { HeraldError } from "../../core/errors.ts";
import type { ChannelGroup, Found, Member } from "./channel-group.ts";
import type { Holder, RedisDelivery } from "./delivery.ts";
import { redisError, replyCode, wasAnswered } from "./errors.ts";
import type { Settler } from "./settler.ts";

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  readonly waits: Deadlines<RedisSubscription>;
  readonly settler: Settler;
  /** Undefined on a cluster: no script has keys of several nodes. */
  readonly commit:
    | ((commit: Commit, by: { readonly holder: Holder; readonly strict: boolean }) => Promise<void>)
    | undefined;
  readonly isUp: boolean;
  left(subscription: RedisSubscription): void;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
}

interface Waiting {
  readonly limit: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly reject: (error: unknown) => void;
  /** Its time is over: it ends with the read that is under way. */
  isOver: boolean;
  deadline: Deadline<RedisSubscription> | undefined;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);

/** One member of a group, over the channels that its pattern covers. */
export class RedisSubscription implements Subscription, Member, Holder {
  readonly pattern: string;
  readonly group: string;
  readonly strict: boolean;
  readonly groups = new Map<string, ChannelGroup>();
  readonly commit?: (commit: Commit) => Promise<void>;
  readonly #prefetch: number;
  readonly #host: SubscriptionHost;
  #unsettled = 0;
  #waiting: Waiting | undefined;
  #isReading = false;
  /** Nothing more is read until everything held is settled. */
  #isAlone = false;
  #closed = false;
  /** Channels that may have something. */
  readonly #candidates = new Set<ChannelGroup>();

  constructor(
    spec: {
      readonly pattern: string;
      readonly group: string;
      readonly strict: boolean;
      readonly prefetch: number;
    },
    host: SubscriptionHost,
  ) {
    this.pattern = spec.pattern;
    this.group = spec.group;
    this.strict = spec.strict;
    this.#prefetch = spec.prefetch;
    this.#host = host;
    const commit = host.commit;
    if (commit !== undefined) this.commit = (what) => this.#commit(what, commit);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  attach(group: ChannelGroup): void {
    this.groups.set(group.channel, group);
    group.members.add(this);
    if (group.dirty) this.wake(group);
  }

  detach(group: ChannelGroup): void {
    this.groups.delete(group.channel);
    group.members.delete(this);
    this.#candidates.delete(group);
  }

  receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) {
      return Promise.reject(waitsAlready());
    }
    if (this.#closed) {
      const reason = this.#host.closed();
      return reason === undefined ? Promise.resolve(NOTHING) : Promise.reject(reason);
    }
    if (limit <= 0) return Promise.resolve(NOTHING);
    return new Promise((resolve, reject) => {
      const isOver = !(waitMs > 0);
      this.#waiting = { limit, resolve, reject, isOver, deadline: undefined };
      if (!isOver && waitMs !== Infinity) this.#waiting.deadline = this.#host.waits.add(waitMs, this);
      this.wake();
    });
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.#host.closed() === undefined
      ? this.#host.settler.settle(settlements, this, this.strict)
      : Promise.resolve();
  }

  async #commit(what: Commit, commit: NonNullable<SubscriptionHost["commit"]>): Promise<void> {
    const reason = this.#host.closed();
    if (reason !== undefined) throw reason;
    await commit(what, { holder: this, strict: this.strict });
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#finish(NOTHING);
    this.#host.left(this);
    return Promise.resolve();
  }

  settled(count: number): void {
    this.#unsettled -= count;
    if (this.#waiting !== undefined) this.wake();
  }

  /** The wait is over without a delivery, or ends so with the read that is under way. */
  giveUp(): void {
    if (this.#waiting === undefined) return;
    this.#waiting.isOver = true;
    if (!this.#isReading) this.#finish(NOTHING);
  }

  wake(group?: ChannelGroup): void {
    if (group !== undefined) this.#candidates.add(group);
    const waiting = this.#waiting;
    if (waiting === undefined || this.#isReading) return;
    if (this.#isAlone && this.#unsettled === 0) this.#isAlone = false;
    const room = this.#isAlone ? 0 : Math.min(waiting.limit, this.#prefetch - this.#unsettled);
    const next = room > 0 && this.#host.isUp ? this.#next() : undefined;
    if (next !== undefined) {
      this.#isReading = true;
      void this.#read(next, room);
    } else if (waiting.isOver && !(room > 0 && this.#isSomeoneReading())) this.#finish(NOTHING);
  }

  async #read(group: ChannelGroup, room: number): Promise<void> {
    let found: Found;
    try {
      found = await group.read(room, this.#unsettled > 0);
    } catch (error) {
      this.#isReading = false;
      this.#failed(error);
      return;
    }
    this.#isReading = false;
    const { deliveries, alone } = found;
    if (alone) this.#isAlone = true;
    if (deliveries.length === 0) {
      this.wake();
      return;
    }
    this.#unsettled += deliveries.length;
    group.unsettled += deliveries.length;
    for (const delivery of deliveries) delivery.holder = this;
    if (this.#waiting === undefined) this.#giveBack(deliveries);
    else this.#finish(deliveries);
  }

  /** A lost connection is waited for; what the server refuses, the caller is told. */
  #failed(error: unknown): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const refused = wasAnswered(error) && replyCode(error) !== "LOADING" && this.#host.isUp;
    if (refused) this.#finish(redisError(error));
    else if (waiting.isOver) this.#finish(NOTHING);
  }

  #giveBack(deliveries: readonly RedisDelivery[]): void {
    const back = deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 }) as const);
    // What cannot be given back now comes back when its lease ends.
    this.#host.settler.settle(back, this, this.strict).catch(() => {});
  }

  #finish(outcome: readonly Delivery[] | HeraldError): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    if (waiting.deadline !== undefined) this.#host.waits.cancel(waiting.deadline);
    if (outcome instanceof HeraldError) waiting.reject(outcome);
    else waiting.resolve(outcome);
  }

  /** The next channel that may have something and that nobody reads at this moment. */
  #next(): ChannelGroup | undefined {
    for (const group of this.#candidates) {
      if (group.isReading) continue;
      this.#candidates.delete(group);
      if (group.dirty && group.members.has(this)) return group;
    }
    return undefined;
  }

  #isSomeoneReading(): boolean {
    for (const group of this.#candidates) if (group.isReading) return true;
    return false;
  }
}
