import type { Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { HeraldError } from "../../core/errors.ts";
import { Handed, ownOf, sideOf } from "./handed.ts";
import { handedOverOf, isInternal, isMarked, toPlain, type HandedOver } from "./handover.ts";
import { Reader, type ReaderOwner } from "./reader.ts";
import type { Seen, SideName } from "./seen.ts";

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  /** Calls back after `delayMs`, unless it is cancelled. */
  after(delayMs: number, task: () => void): { cancel(): void };
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Settles on one side; what does not get through is kept and tried again. */
  settle(
    side: SideName,
    subscription: Subscription,
    settlements: readonly Settlement[],
    seen: Seen,
  ): Promise<void>;
  /** A side rejected a receive. */
  failed(side: SideName, error: unknown): void;
  /** True when this broadcast subscription, made at `since`, gets the message from the fallback itself. */
  hasFallbackCopy(handedOver: HandedOver, since: number): boolean;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
  left(subscription: FailoverSubscription): void;
}

interface Waiting {
  readonly limit: number;
  readonly endsAt: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly deadline: { cancel(): void } | undefined;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);
/** What came while nobody asked goes back after this long, so that others of the group get it. */
const KEEP_MS = 100;
/** How soon a message comes back whose twin from the other side is being handled. */
const TWIN_DELAY_MS = 250;
/** A side that answers with nothing without waiting is asked again after this long. */
const PAUSE_MS = 50;

/** Reads both sides, whatever the mode: what one side holds is never waited for behind the other. */
export class FailoverSubscription implements Subscription, ReaderOwner {
  readonly spec: SubscriptionSpec;
  /** When it was made, by the wall clock. */
  readonly since: number;
  readonly seen: Seen;
  readonly primary: Reader;
  readonly fallback: Reader;
  readonly #host: SubscriptionHost;
  readonly #out = new Set<Delivery>();
  #buffer: Delivery[] = [];
  #waiting: Waiting | undefined;
  #keeping: { cancel(): void } | undefined;
  #pausing: { cancel(): void } | undefined;
  #closed = false;

  constructor(spec: SubscriptionSpec, since: number, seen: Seen, host: SubscriptionHost) {
    this.spec = spec;
    this.since = since;
    this.seen = seen;
    this.#host = host;
    this.primary = new Reader("primary", this);
    this.fallback = new Reader("fallback", this);
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) {
      throw waitsAlready();
    }
    if (this.#closed) {
      const reason = this.#host.closed();
      if (reason === undefined) return NOTHING;
      throw reason;
    }
    const taken = this.#take(limit);
    if (taken.length > 0 || limit <= 0) return taken;
    if (waitMs <= 0) return this.#poll(limit);
    return new Promise((resolve) => {
      const deadline =
        waitMs === Infinity ? undefined : this.#host.after(waitMs, () => this.#finish(NOTHING));
      this.#waiting = { limit, resolve, deadline, endsAt: this.#host.monotonic() + waitMs };
      this.#ask();
    });
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    const primary: Settlement[] = [];
    const fallback: Settlement[] = [];
    for (const settlement of settlements) {
      const side = this.#account(settlement);
      if (side === undefined) continue;
      const own = ownOf(settlement.delivery);
      const list = side === "primary" ? primary : fallback;
      list.push(own === settlement.delivery ? settlement : { ...settlement, delivery: own });
    }
    const sent: Promise<void>[] = [];
    if (primary.length > 0) sent.push(this.#send(this.primary, primary));
    if (fallback.length > 0) sent.push(this.#send(this.fallback, fallback));
    this.#ask();
    await Promise.all(sent);
  }

  async giveBackUnread(): Promise<void> {
    await this.#giveBack();
    const sides = [this.primary, this.fallback].filter(({ isFailed }) => !isFailed);
    await Promise.all(sides.map(async ({ subscription }) => subscription?.giveBackUnread?.()));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#finish(NOTHING);
    this.#pausing?.cancel();
    this.#host.left(this);
    const given = this.#giveBack();
    // A primary that is silent must not keep its subscriber.
    const leaving = this.primary.subscription?.close();
    leaving?.catch(() => {});
    await Promise.all([
      given,
      this.fallback.subscription?.close(),
      this.primary.isFailed ? undefined : leaving,
    ]);
  }

  /** A side can be asked again, or for the first time. */
  resume(): void {
    this.#ask();
  }

  got(reader: Reader, deliveries: readonly Delivery[]): void {
    if (deliveries.length > 0) this.#accept(reader, deliveries);
    if (this.#waiting !== undefined) {
      const taken = this.#take(this.#waiting.limit);
      if (taken.length > 0) this.#finish(taken);
      else if (deliveries.length > 0) this.#ask();
      else this.#askSoon();
    } else if (this.#buffer.length > 0) this.#keep();
  }

  failed(reader: Reader, error: unknown): void {
    this.#host.failed(reader.side, error);
  }

  /** Ids that are in hand here, for whoever wants to know what one side still owes. */
  get unsettled(): number {
    return this.#out.size + this.#buffer.length;
  }

  async #poll(limit: number): Promise<readonly Delivery[]> {
    await Promise.all([this.#askSide(this.primary, limit, 0), this.#askSide(this.fallback, limit, 0)]);
    return this.#take(limit);
  }

  #ask(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || this.#closed) return;
    const leftMs = waiting.endsAt - this.#host.monotonic();
    if (leftMs <= 0) return;
    void this.#askSide(this.primary, waiting.limit, leftMs);
    void this.#askSide(this.fallback, waiting.limit, leftMs);
  }

  /**
   * A busy side may bring as many as there is room for, half of them when the other is busy too; one that gave nothing when
   * it was last asked may bring one. What both bring together may be more than there is room for: it waits in the buffer, or
   * goes back. Room is never kept for a side that does not answer.
   */
  async #askSide(reader: Reader, limit: number, waitMs: number): Promise<void> {
    const free = this.spec.prefetch - this.unsettled;
    if (!reader.canAsk || free <= 0) return;
    const other = reader === this.primary ? this.fallback : this.primary;
    const isProbe = reader.lastCount === 0 && (reader === this.fallback || other.lastCount > 0);
    const share = other.lastCount > 0 && other.canAsk ? Math.ceil(free / 2) : free;
    await reader.ask(isProbe ? 1 : Math.min(limit, share), waitMs);
  }

  /** Only a side that really waited is asked again at once. */
  #askSoon(): void {
    this.#pausing ??= this.#host.after(PAUSE_MS, () => {
      this.#pausing = undefined;
      this.#ask();
    });
  }

  #accept(reader: Reader, deliveries: readonly Delivery[]): void {
    const silent: Settlement[] = [];
    for (const delivery of deliveries) {
      const decided = this.#closed
        ? ({ kind: "release", delivery, delayMs: 0 } as const)
        : this.#sift(reader.side, delivery);
      if ("kind" in decided) silent.push(decided);
      else this.#buffer.push(decided);
    }
    if (silent.length > 0) this.#send(reader, silent).catch(() => {});
  }

  /** The delivery as it is handed out, or how it is settled without being handed out. */
  #sift(side: SideName, delivery: Delivery): Delivery | Settlement {
    const { envelope } = delivery;
    if (isInternal(envelope.channel) || (side === "primary" && this.#comesFromFallback(delivery)))
      return { kind: "ack", delivery };
    const state = this.seen.stateOf(envelope.id, side);
    if (state === "done") return { kind: "ack", delivery };
    if (state === "running") return { kind: "release", delivery, delayMs: TWIN_DELAY_MS };
    const isClean = !isMarked(envelope);
    const handed =
      side === "primary" && isClean
        ? delivery
        : new Handed(delivery, side, isClean ? envelope : toPlain(envelope));
    this.seen.out(envelope.id, side);
    return handed;
  }

  /** What was handed over to the primary is handled from the fallback by those who have it there. */
  #comesFromFallback({ envelope }: Delivery): boolean {
    const handedOver = handedOverOf(envelope);
    if (handedOver === undefined) return false;
    const { group } = this.spec;
    return group === null
      ? this.#host.hasFallbackCopy(handedOver, this.since)
      : handedOver.groups.includes(group);
  }

  #take(limit: number): readonly Delivery[] {
    if (this.#buffer.length === 0) return NOTHING;
    const most = Math.min(limit, this.spec.prefetch - this.#out.size);
    if (most <= 0) return NOTHING;
    const taken = this.#buffer.splice(0, most);
    for (const delivery of taken) this.#out.add(delivery);
    if (this.#buffer.length === 0) {
      this.#keeping?.cancel();
      this.#keeping = undefined;
    }
    return taken;
  }

  /** Buffered deliveries run out of their lease: they wait for a receive for a moment only. */
  #keep(): void {
    this.#keeping ??= this.#host.after(KEEP_MS, () => {
      this.#keeping = undefined;
      this.#giveBack().catch(() => {});
    });
  }

  async #giveBack(): Promise<void> {
    this.#keeping?.cancel();
    this.#keeping = undefined;
    const buffer = this.#buffer;
    this.#buffer = [];
    for (const reader of [this.primary, this.fallback]) {
      const mine = buffer.filter((delivery) => sideOf(delivery) === reader.side);
      for (const { envelope } of mine) this.seen.forget(envelope.id);
      if (mine.length > 0)
        await this.#send(
          reader,
          mine.map((delivery) => ({ kind: "release", delivery: ownOf(delivery), delayMs: 0 })),
        );
    }
  }

  /** Keeps count of what is out; the side to tell, or undefined when there is nothing to tell. */
  #account({ kind, delivery }: Settlement): SideName | undefined {
    if (!this.#out.has(delivery)) return undefined;
    const side = sideOf(delivery);
    if (kind === "extend") return side;
    this.#out.delete(delivery);
    if (kind === "ack") this.seen.done(delivery.envelope.id, side);
    else this.seen.forget(delivery.envelope.id);
    return side;
  }

  #send(reader: Reader, settlements: readonly Settlement[]): Promise<void> {
    if (reader.subscription === undefined) return Promise.resolve();
    return this.#host.settle(reader.side, reader.subscription, settlements, this.seen);
  }

  #finish(deliveries: readonly Delivery[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    waiting.deadline?.cancel();
    waiting.resolve(deliveries);
  }
}
