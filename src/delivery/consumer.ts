import type { Breaker } from "../core/breaker.ts";
import type { Subscription } from "../core/broker.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import { HeraldError, isHeraldError, toHeraldError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import { DeliveryContext } from "./context.ts";
import { HandlerBreaker } from "./handler-breaker.ts";
import { Outgoing } from "./outgoing.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { runPipeline } from "./pipeline.ts";
import { Running } from "./running.ts";
import type { Settler } from "./settle.ts";
import { UNCLAIMED, type Handling } from "./stages.ts";
import { isSuspect } from "./suspect.ts";
import { Waits } from "./waits.ts";

/** How one subscription is consumed. */
export interface ConsumerOptions {
  readonly agentId: string;
  readonly subscription: Subscription;
  readonly handling: Handling;
  readonly settler: Settler;
  /** Handlers at the same time. */
  readonly concurrency: number;
  /** Most deliveries held, started or not. */
  readonly prefetch: number;
  /** Infinity: no limit. */
  readonly handlerTimeoutMs: number;
  /** At-most-once: acknowledge before the handler runs. */
  readonly ackFirst: boolean;
  /** While it is open nothing is asked for, and what fails meanwhile is not counted. */
  readonly breaker?: Breaker | undefined;
  /** It begins to drain. */
  readonly onClose?: () => void;
}

/** A waiting receive is asked again after this long; brokers answer it earlier when there is something. */
const WAIT_MS = 30_000;
/** Places of the buffer that may lie empty in front. */
const COMPACT_AT = 256;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 5000;
/** A receive that answers with nothing sooner than this has not waited. */
const AT_ONCE_MS = 1;
/** How long a drain waits for the broker to close the subscription, and again for it to take the last settlements. */
const PATIENCE_MS = 5000;
/** How long a suspect waits for the handlers that run, and then how long others wait for it: no longer, because work may take hours. */
const ALONE_MS = 30_000;

/** Asks a subscription for as much as there is room for, runs the pipeline, settles in batches, drains. */
export class Consumer {
  readonly #options: ConsumerOptions;
  /** Most deliveries held. What is acknowledged before it runs is taken only when it can start: nobody else would ever get it. */
  readonly #most: number;
  readonly #running: Running;
  readonly #leases: LeaseKeeper;
  readonly #breaker: HandlerBreaker | undefined;
  readonly #buffer: (Delivery | undefined)[] = [];
  #next = 0;
  #held = 0;
  #busySince = -Infinity;
  #active = 0;
  /** Handlers that run: those of {@link #active} whose effects are not being made. */
  #slots = 0;
  readonly #outgoing: Outgoing;
  readonly #waits: Waits;
  #stopping = false;
  #paused = false;
  /** Waits until it is alone. */
  #suspect: Delivery | undefined;
  /** Nothing but suspects came: one at a time, because more may stand behind them. */
  #isWary = false;
  #onRoom: (() => void) | undefined;
  #onResume: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { clock } = options.handling;
    this.#most = options.ackFirst ? Math.min(options.prefetch, options.concurrency) : options.prefetch;
    this.#running = new Running(clock, options.handlerTimeoutMs, (run, error) => this.#timeOut(run, error));
    if (options.breaker !== undefined) this.#breaker = new HandlerBreaker(options.breaker, options.ackFirst);
    this.#waits = new Waits(clock);
    this.#outgoing = new Outgoing(options.subscription, (error) => this.#fault("settle", error));
    this.#leases = new LeaseKeeper(clock, (settlements) => this.#outgoing.send(settlements));
  }

  /** Messages in work: their handlers run, or the effects of these are made. */
  get active(): number {
    return this.#active;
  }

  /** Monotonic milliseconds since when it has had something in hand, or last had; -Infinity before the first delivery. */
  get busySince(): number {
    return this.#busySince;
  }

  start(): void {
    this.#loop ??= this.#consume();
  }

  /** Starts nothing more until {@link resume}: what was not started goes back, handlers that run go on. Idempotent. */
  pause(): void {
    this.#paused = true;
    this.#giveBack();
  }

  /** Goes on after {@link pause}. Idempotent. */
  resume(): void {
    this.#paused = false;
    this.#onResume?.();
  }

  /**
   * Stops asking, gives back what was not started, lets running handlers finish for `graceMs`, then aborts them and
   * gives their messages back. Resolves to how many were aborted, also when the broker answers no more.
   */
  async drain(graceMs: number): Promise<number> {
    const { clock } = this.#options.handling;
    const endsAt = clock.monotonic() + graceMs;
    this.#stopping = true;
    this.#options.onClose?.();
    this.#onRoom?.();
    this.#onResume?.();
    this.#waits.end();
    this.#breaker?.wake();
    await this.#waits.within(this.#stopAsking(), PATIENCE_MS);
    this.#giveBack();
    await this.#waits.within(this.#running.idle(), endsAt - clock.monotonic());
    const abandoned = this.#running.all();
    for (const run of abandoned) this.#abandon(run);
    await this.#waits.within(this.#outgoing.told(), PATIENCE_MS);
    return abandoned.length;
  }

  async #stopAsking(): Promise<void> {
    try {
      await this.#options.subscription.close();
    } catch (error) {
      this.#fault("close", error);
    }
    await this.#loop;
  }

  async #consume(): Promise<void> {
    const { subscription, handling } = this.#options;
    let backoffMs = FIRST_BACKOFF_MS;
    while (!this.#stopping) {
      if (this.#paused) {
        await this.#resumed();
        continue;
      }
      if (this.#held > this.#most >> 1) await this.#room();
      if (this.#paused) continue;
      if (this.#breaker?.isHeld === true) {
        this.#outgoing.flush();
        await this.#breaker.wait((delayMs) => this.#waits.pause(delayMs));
        continue;
      }
      this.#outgoing.flush();
      try {
        const askedAt = handling.clock.monotonic();
        const room = this.#isWary ? 1 : this.#most - this.#held;
        const deliveries = await subscription.receive(this.#breaker?.limit(room) ?? room, WAIT_MS);
        const looking = deliveries.length === 0 ? undefined : handling.stops?.refresh();
        if (looking !== undefined) await looking;
        if (deliveries.length > 0) await this.#accept(deliveries);
        // A broker that does not wait must not make this loop the only thing that runs.
        else if (handling.clock.monotonic() - askedAt < AT_ONCE_MS) await this.#waits.pause(FIRST_BACKOFF_MS);
        backoffMs = FIRST_BACKOFF_MS;
      } catch (error) {
        if (isHeraldError(error) && error.code === "CLOSED") return;
        this.#fault("receive", error);
        await this.#waits.pause(backoffMs);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      }
    }
  }

  async #accept(deliveries: readonly Delivery[]): Promise<void> {
    const { ackFirst, handling } = this.#options;
    if (ackFirst) await this.#acknowledge(deliveries);
    const suspects: Delivery[] = [];
    for (const delivery of deliveries) {
      const isAlone = delivery.attempt > 1 && !ackFirst && isSuspect(delivery, handling.maxAttempts);
      (isAlone ? suspects : this.#buffer).push(delivery);
      if (!ackFirst) this.#leases.hold(delivery);
    }
    if (this.#held === 0) this.#busySince = handling.clock.monotonic();
    this.#held += deliveries.length;
    this.#isWary = suspects.length === deliveries.length;
    this.#pump();
    if (suspects.length > 0) await this.#runAlone(suspects);
    if (this.#stopping || this.#paused) this.#giveBack();
  }

  /** What is here ends before one of the suspects starts, and the broker knows it; then nothing starts until that has ended. */
  async #runAlone([suspect, ...others]: readonly Delivery[]): Promise<void> {
    for (const delivery of others) this.#release(delivery);
    this.#suspect = suspect;
    const { clock } = this.#options.handling;
    const endsAt = clock.monotonic() + ALONE_MS;
    while (this.#isWaitedFor && clock.monotonic() < endsAt)
      await this.#waits.pauseUntil(this.#running.idle(), endsAt - clock.monotonic());
    this.#giveBackBuffer();
    await this.#waits.within(this.#outgoing.told(), PATIENCE_MS);
    await this.#waits.within(this.#giveBackUnread(), PATIENCE_MS);
    if (this.#stopping || this.#suspect === undefined) return;
    this.#buffer.push(this.#suspect);
    this.#suspect = undefined;
    this.#pump();
    await this.#waits.pauseUntil(this.#running.idle(), ALONE_MS);
    await this.#waits.within(this.#outgoing.told(), PATIENCE_MS);
  }

  /** The suspect is not alone yet, and was not given back. */
  get #isWaitedFor(): boolean {
    return !this.#stopping && this.#suspect !== undefined && this.#active > 0;
  }

  async #giveBackUnread(): Promise<void> {
    try {
      await this.#options.subscription.giveBackUnread?.();
    } catch (error) {
      this.#fault("settle", error);
    }
  }

  /** What was not started goes back. */
  #giveBack(): void {
    this.#giveBackBuffer();
    const suspect = this.#suspect;
    this.#suspect = undefined;
    if (suspect !== undefined) this.#release(suspect);
  }

  #giveBackBuffer(): void {
    while (this.#next < this.#buffer.length) this.#release(this.#take());
  }

  #release(delivery: Delivery): void {
    this.#push({ kind: "release", delivery, delayMs: 0 });
  }

  async #acknowledge(deliveries: readonly Delivery[]): Promise<void> {
    try {
      await this.#options.subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
    } catch (error) {
      // Those that were not acknowledged come again; for those that were, this changes nothing.
      this.#outgoing.send(deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));
      throw error;
    }
  }

  /** Starts what waits, as far as there are slots. */
  #pump(): void {
    const { concurrency, ackFirst } = this.#options;
    const mayBegin = (!this.#stopping && !this.#paused) || ackFirst;
    while (mayBegin && this.#slots < concurrency && this.#next < this.#buffer.length) {
      if (this.#breaker?.admit() === false) {
        this.#giveBack();
        return;
      }
      this.#begin(this.#take());
    }
  }

  #take(): Delivery {
    const delivery = this.#buffer[this.#next] as Delivery;
    this.#buffer[this.#next++] = undefined;
    // Under load the buffer is never empty: what was taken must not stay in front of it.
    if (this.#next === this.#buffer.length || this.#next >= COMPACT_AT) {
      this.#buffer.copyWithin(0, this.#next);
      this.#buffer.length -= this.#next;
      this.#next = 0;
    }
    return delivery;
  }

  #begin(delivery: Delivery): void {
    const { agentId, handling, settler } = this.#options;
    if (delivery.attempt > 1) settler.counters(delivery.envelope.channel).redelivered++;
    const run = new DeliveryContext(delivery, agentId, handling.group, this);
    const outcome = runPipeline(run, handling, this.#onEnd);
    if (outcome !== undefined) {
      this.#settle(run, outcome);
      return;
    }
    this.#active++;
    this.#slots++;
    run.onHandled = this.#onHandled;
    this.#running.add(run);
  }

  /** Another handler may run while the effects of this one are made. */
  readonly #onHandled = (run: DeliveryContext): void => {
    if (this.#options.concurrency === 1) return;
    run.onHandled = undefined;
    this.#slots--;
    this.#pump();
  };

  #left(run: DeliveryContext): void {
    this.#active--;
    if (run.onHandled !== undefined) this.#slots--;
    run.onHandled = undefined;
  }

  /** A run that was cut short has ended already: its late outcome is of no interest. */
  readonly #onEnd = (run: DeliveryContext, outcome: Outcome): void => {
    if (this.#running.end(run)) this.#end(run, outcome);
  };

  #end(run: DeliveryContext, outcome: Outcome): void {
    this.#left(run);
    this.#settle(run, outcome);
    this.#pump();
  }

  #settle(run: DeliveryContext, outcome: Outcome): void {
    const judged = this.#breaker === undefined ? outcome : this.#breaker.judge(outcome);
    const settlement = this.#options.settler.settle(run, judged);
    if (settlement instanceof Promise) {
      this.#outgoing.track(settlement.then((ready) => this.#push(ready)));
    } else this.#push(settlement);
  }

  #push(settlement: Settlement): void {
    this.#held--;
    this.#leases.release(settlement.delivery);
    if (!this.#options.ackFirst) this.#outgoing.push(settlement);
    if (this.#onRoom !== undefined && this.#held <= this.#most >> 1) this.#onRoom();
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = () => {
        this.#onRoom = undefined;
        resolve();
      };
    });
  }

  #resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onResume = () => {
        this.#onResume = undefined;
        resolve();
      };
    });
  }

  #timeOut(run: DeliveryContext, error: HeraldError): void {
    this.#running.end(run);
    this.#cut(run, error);
    if (run.isClaiming) this.#fault("inbox", error);
    this.#end(run, run.isClaiming ? UNCLAIMED : { kind: "failed", error });
  }

  /** The service stops and the handler has not ended: its message goes back, uncounted. */
  #abandon(run: DeliveryContext): void {
    this.#running.end(run);
    this.#cut(
      run,
      new HeraldError(
        "CANCELLED",
        "The service stops and its grace period is over: end when context.signal fires.",
      ),
    );
    this.#left(run);
    this.#settle(run, { kind: "snoozed", delayMs: 0 });
  }

  /** From here on the run's effects are refused; under exactly-once another delivery may claim the id. */
  #cut(run: DeliveryContext, reason: HeraldError): void {
    run.abort(reason);
    if (run.outbox !== undefined) this.#outgoing.track(this.#disclaim(run));
  }

  async #disclaim(run: DeliveryContext): Promise<void> {
    const { inbox, scope } = this.#options.handling;
    try {
      await inbox?.abandon(scope, run.envelope.id);
    } catch (error) {
      this.#fault("inbox", error);
    }
  }

  #fault(where: string, error: unknown): void {
    emit("fault", () => ({ agent: this.#options.agentId, error: toHeraldError(error), where }));
  }
}
