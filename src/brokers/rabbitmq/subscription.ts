import type { Channel } from "amqplib";
import type { Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import type { Later, Timers } from "../shared/timers.ts";
import { RabbitDelivery } from "./delivery.ts";
import { notSettled } from "./errors.ts";
import type { Member, Reader } from "./reader.ts";
import type { Return } from "./returns.ts";

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  readonly timers: Timers;
  /** Epoch milliseconds. */
  now(): number;
  /** Resolves to false where the delivery comes again by itself. */
  give(delivery: RabbitDelivery, how: Return): Promise<boolean>;
  /** Resolves when the server has carried out what it was told over the channel; rejects when that is lost. */
  readonly carriedOut: (channel: Channel) => Promise<void>;
  left(subscription: RabbitSubscription): void;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
}

type GivenBack = Extract<Settlement, { readonly kind: "nack" | "release" }>;

interface Waiting {
  readonly limit: number;
  readonly isNow: boolean;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly deadline: Later | undefined;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);
/** How long one that does not want to wait waits for the server's word. */
const ANSWER_MS = 1000;

/** One member of a group, or one broadcast listener. */
export class RabbitSubscription implements Subscription, Member {
  readonly prefetch: number;
  readonly #reader: Reader;
  readonly #host: SubscriptionHost;
  readonly #out = new Set<Delivery>();
  #waiting: Waiting | undefined;
  #isClosed = false;

  constructor(reader: Reader, prefetch: number, host: SubscriptionHost) {
    this.prefetch = prefetch;
    this.#reader = reader;
    this.#host = host;
    reader.members.add(this);
  }

  get room(): number {
    return Math.min(this.#waiting?.limit ?? 0, this.prefetch - this.#out.size);
  }

  get isNow(): boolean {
    return this.#waiting?.isNow === true;
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) throw waitsAlready();
    if (this.#isClosed) {
      const reason = this.#host.closed();
      if (reason !== undefined) throw reason;
      return NOTHING;
    }
    const isNow = !(waitMs > 0);
    if (limit <= 0 || (isNow && this.prefetch <= this.#out.size)) return NOTHING;
    return new Promise((resolve) => {
      const mostMs = isNow ? ANSWER_MS : waitMs;
      const deadline = mostMs === Infinity ? undefined : this.#host.timers.after(mostMs, () => this.give([]));
      this.#waiting = { limit, isNow, resolve, deadline };
      this.#reader.wait(this);
    });
  }

  give(deliveries: readonly RabbitDelivery[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    for (const delivery of deliveries) this.#out.add(delivery);
    waiting.deadline?.cancel();
    this.#reader.stopWaiting(this);
    waiting.resolve(deliveries);
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    const acked: RabbitDelivery[] = [];
    const given: Promise<RabbitDelivery | undefined>[] = [];
    let isLost = false;
    for (const settlement of settlements) {
      const { delivery, kind } = settlement;
      if (kind === "extend" || !(delivery instanceof RabbitDelivery) || !this.#out.delete(delivery)) continue;
      const attempts = kind === "release" ? delivery.attempt - 1 : delivery.attempt;
      let dueAt = 0;
      if (kind !== "ack") {
        if (settlement.delayMs > 0) dueAt = this.#host.now() + settlement.delayMs;
        given.push(this.#giveBack(delivery, settlement));
      } else if (delivery.ack()) acked.push(delivery);
      else isLost ||= !delivery.home.isGone;
      this.#reader.settled(delivery, { attempts, dueAt });
    }
    this.#reader.more();
    const back = await Promise.all(given);
    const told = [...acked, ...back.filter((delivery) => delivery !== undefined)];
    // Of a queue that is gone nothing comes again.
    await this.#certain(told, isLost || (back.includes(undefined) && !this.#reader.isGone));
  }

  /** Resolves to the delivery once it is given back; undefined: it comes again by itself. */
  async #giveBack(delivery: RabbitDelivery, settlement: GivenBack): Promise<RabbitDelivery | undefined> {
    const counts = settlement.kind === "nack";
    const failure = settlement.kind === "nack" ? settlement.failure : undefined;
    const how = { delayMs: Math.max(0, settlement.delayMs), counts, failure };
    return (await this.#host.give(delivery, how)) ? delivery : undefined;
  }

  /** AMQP answers no acknowledgement: it is certain once the server has answered what it was asked after it. */
  async #certain(told: readonly RabbitDelivery[], isLost: boolean): Promise<void> {
    let cause: unknown;
    await this.#reader.told();
    try {
      await Promise.all([...new Set(told.map(({ channel }) => channel))].map(this.#host.carriedOut));
      if (!isLost) return;
    } catch (error) {
      cause = error;
    }
    if (this.#host.closed() === undefined) throw notSettled(cause);
  }

  async giveBackUnread(): Promise<void> {
    await this.#reader.giveBackUnread();
    const { channel } = this.#reader;
    // Until the server has carried it out, whoever dies takes it along.
    if (channel !== undefined) await this.#host.carriedOut(channel);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.give([]);
    await this.#reader.leave(this);
    this.#host.left(this);
  }
}
