import { Deadlines } from "../../core/deadlines.ts";
import type { Settlement } from "../../core/delivery.ts";
import { RedisDelivery, type Holder, type Home } from "./delivery.ts";
import { redisError, replyCode, wasAnswered } from "./errors.ts";
import type { Lane } from "./keys.ts";
import { EXTEND, SETTLE } from "./scripts-consume.ts";
import type { Session } from "./session.ts";

/** An acknowledgement is plain while at least this share of the lease is left: a script checks whose the entry is otherwise. */
const SURE_SHARE = 1 / 3;
const RETRY_MS = 100;

/** Everything one call settles, by the group and what it takes. */
class Batch {
  readonly acks = new Map<Lane, string[]>();
  readonly acked: RedisDelivery[] = [];
  /** Arguments of the settling script. */
  readonly checked: string[] = [];
  readonly extended: RedisDelivery[] = [];
  strict = false;
  /** The last moment at which one of the entries may still be ours. */
  leaseUntil = -Infinity;
}

/** What the settler tells. */
export interface SettlerHost {
  readonly isClosed: boolean;
  /** A retry of the group is due in this many ms. */
  due(group: Home, delayMs: number): void;
}

/** Carries settlements to Redis: acknowledgements in one command a lane, everything else in one script a channel. */
export class Settler {
  readonly #session: Session;
  readonly #host: SettlerHost;
  readonly #renewals: Deadlines<RedisDelivery>;

  constructor(session: Session, host: SettlerHost) {
    this.#session = session;
    this.#host = host;
    this.#renewals = new Deadlines(session.clock, (delivery) => this.#renew(delivery));
  }

  /** Renews nothing any more. */
  stop(): void {
    this.#renewals.clear();
  }

  /** Settles what `holder` holds; the rest is ignored. */
  async settle(settlements: readonly Settlement[], holder: object, strict: boolean): Promise<void> {
    const batches = new Map<Home, Batch>();
    const sureUntil = this.#session.clock.monotonic() + this.#session.leaseMs * SURE_SHARE;
    for (const settlement of settlements) {
      const delivery = settlement.delivery.receipt;
      if (!(delivery instanceof RedisDelivery) || delivery.holder !== holder) continue;
      let batch = batches.get(delivery.group);
      if (batch === undefined) batches.set(delivery.group, (batch = new Batch()));
      batch.strict = strict;
      this.#add(batch, settlement, delivery, sureUntil);
    }
    const running = [...batches].map(([group, batch]) => this.#carry(group, batch));
    if (running.length === 1) await running[0];
    else if (running.length > 1) await Promise.all(running);
  }

  /** A delivery was acknowledged by a script of others; `reply` is what SETTLE resolved to in it. */
  committed({ group }: RedisDelivery, holder: Holder, reply: readonly [number, number]): void {
    group.unsettled--;
    holder.settled(1);
    group.acknowledged(1);
    this.#after(group, reply);
  }

  #add(batch: Batch, settlement: Settlement, delivery: RedisDelivery, sureUntil: number): void {
    const { lane, id } = delivery;
    if (delivery.leaseUntil > batch.leaseUntil) batch.leaseUntil = delivery.leaseUntil;
    if (settlement.kind === "extend") {
      delivery.wantedUntil = this.#session.clock.monotonic() + settlement.leaseMs;
      batch.extended.push(delivery);
      return;
    }
    const { holder } = delivery;
    delivery.holder = null;
    delivery.group.unsettled--;
    holder?.settled(1);
    const key = delivery.lockedKey;
    if (settlement.kind === "ack") {
      delivery.group.acknowledged(1);
      if (key === "" && !delivery.hasNote && delivery.leaseUntil > sureUntil) {
        const ids = batch.acks.get(lane);
        if (ids === undefined) batch.acks.set(lane, [id]);
        else ids.push(id);
        batch.acked.push(delivery);
        return;
      }
      batch.checked.push("a", lane, id, String(delivery.count), key, "0", "");
      return;
    }
    const isNack = settlement.kind === "nack";
    const failures = isNack ? delivery.failuresWith(settlement.failure) : "";
    const delayMs = Math.max(0, settlement.delayMs);
    batch.checked.push(isNack ? "n" : "r", lane, id, String(delivery.count), key, String(delayMs), failures);
  }

  async #carry(group: Home, batch: Batch): Promise<void> {
    const running: Promise<unknown>[] = [];
    if (batch.acks.size > 0) running.push(this.#acknowledge(group, batch));
    if (batch.checked.length > 0) running.push(this.#settleChecked(group, batch, batch.checked));
    if (batch.extended.length > 0) running.push(this.#extend(group, batch.extended));
    await (running.length === 1 ? running[0] : Promise.all(running));
  }

  async #acknowledge(group: Home, batch: Batch): Promise<void> {
    const sent = [...batch.acks].map(([lane, ids]) => {
      const stream = group.stream(lane);
      return this.#session.send(stream, ["XACK", stream, group.group, ...ids]);
    });
    try {
      await (sent.length === 1 ? sent[0] : Promise.all(sent));
    } catch (error) {
      if (wasAnswered(error) && replyCode(error) !== "LOADING") throw redisError(error);
      // Sent again, now with a look at whose the entries are.
      const again = batch.acked.flatMap(({ lane, id, count }) => ["a", lane, id, String(count), "", "0", ""]);
      await this.#settleChecked(group, batch, again);
    }
  }

  /** Tried until the leases are over: a script that was carried out before its answer was lost does nothing the second time. */
  async #settleChecked(group: Home, batch: Batch, ops: readonly string[]): Promise<void> {
    const { consumer, clock } = this.#session;
    const args = [group.group, consumer, batch.strict ? "1" : "0", ...ops];
    for (;;) {
      try {
        const reply = (await this.#session.run(SETTLE, group.base, args)) as readonly [number, number];
        this.#after(group, reply);
        return;
      } catch (error) {
        if (this.#host.isClosed) return;
        const isOver = clock.monotonic() >= batch.leaseUntil;
        if (isOver || (wasAnswered(error) && replyCode(error) !== "LOADING")) throw redisError(error);
        await new Promise<void>((resolve) => void clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  #after(group: Home, [ready, soonestMs]: readonly [number, number]): void {
    if (soonestMs >= 0) this.#host.due(group, soonestMs);
    if (ready > 0) this.#session.announceReady(group.channel, group.group);
  }

  async #extend(group: Home, deliveries: readonly RedisDelivery[]): Promise<void> {
    const { clock, consumer, leaseMs } = this.#session;
    const leaseUntil = clock.monotonic() + leaseMs;
    const entries = deliveries.flatMap(({ lane, id, count }) => [lane, id, String(count)]);
    let kept: number;
    try {
      kept = (await this.#session.run(EXTEND, group.base, [group.group, consumer, ...entries])) as number;
    } catch (error) {
      throw redisError(error);
    }
    // Which of them was lost the script that settles will see.
    if (kept === deliveries.length) for (const delivery of deliveries) delivery.leaseUntil = leaseUntil;
    for (const delivery of deliveries)
      if (delivery.wantedUntil > leaseUntil) this.#renewals.add(leaseMs / 3, delivery);
  }

  /** Redis knows one length of lease: a longer one is kept alive from here, and dies with this process. */
  #renew(delivery: RedisDelivery): void {
    if (delivery.holder === null || this.#session.clock.monotonic() >= delivery.wantedUntil) return;
    this.#extend(delivery.group, [delivery]).catch(() => void this.#renewals.add(RETRY_MS, delivery));
  }
}
