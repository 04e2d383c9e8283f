import type { Breaker } from "../core/breaker.ts";
import type { Subscription } from "../core/broker.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import { HeraldError, isHeraldError, toHeraldError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import { DeliveryContext } from "./context.ts";
import { HandlerBreaker } from "./handler-breaker.ts";
import { Outstanding } from "./outstanding.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { runPipeline } from "./pipeline.ts";
import { Running } from "./running.ts";
import { soon } from "./soon.ts";
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
  #settlements: Settlement[] = [];
  readonly #outstanding = new Outstanding();
  readonly #waits: Waits;
  #stopping = false;
  #paused = false;
  /** Nothing is started: a suspect waits until it is alone. */
  #isClearing = false;
  /** The last that came was a suspect: one at a time, because others may stand behind it. */
  #isWary = false;
  readonly #flushSoon = (): void => this.#flush();
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
    this.#leases = new LeaseKeeper(clock, (settlements) => this.#send(settlements));
  }

  /** Handlers that run now. */
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
    await this.#waits.within(this.#settled(), PATIENCE_MS);
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

  /** Resolves when every settlement has reached the broker, those that wait for a dead letter included. */
  async #settled(): Promise<void> {
    await this.#outstanding.idle();
    this.#flush();
    await this.#outstanding.idle();
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
        this.#flush();
        await this.#breaker.wait((delayMs) => this.#waits.pause(delayMs));
        continue;
      }
      this.#flush();
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
    let suspect: Delivery | undefined;
    for (const delivery of deliveries) {
      this.#buffer.push(delivery);
      if (ackFirst) continue;
      this.#leases.hold(delivery);
      if (delivery.attempt > 1 && isSuspect(delivery, handling.maxAttempts)) suspect ??= delivery;
    }
    if (this.#held === 0) this.#busySince = handling.clock.monotonic();
    this.#held += deliveries.length;
    this.#isWary = suspect !== undefined;
    if (suspect !== undefined) await this.#runAlone(suspect);
    this.#pump();
    if (this.#stopping || this.#paused) this.#giveBack();
  }

  /** What was not started goes back, what runs ends, and the broker knows it, before a suspect starts; then nothing else until it has ended. */
  async #runAlone(suspect: Delivery): Promise<void> {
    this.#isClearing = true;
    this.#giveBack(suspect);
    await this.#waits.pauseUntil(this.#running.idle(), ALONE_MS);
    await this.#waits.within(this.#settled(), PATIENCE_MS);
    await this.#waits.within(this.#giveBackUnread(), PATIENCE_MS);
    this.#isClearing = false;
    this.#pump();
    await this.#waits.pauseUntil(this.#running.idle(), ALONE_MS);
    await this.#waits.within(this.#settled(), PATIENCE_MS);
  }

  async #giveBackUnread(): Promise<void> {
    try {
      await this.#options.subscription.giveBackUnread?.();
    } catch (error) {
      this.#fault("settle", error);
    }
  }

  /** What was not started goes back, but for the one that is to stay. */
  #giveBack(staying?: Delivery): void {
    while (this.#next < this.#buffer.length) {
      const delivery = this.#take();
      if (delivery !== staying) this.#push({ kind: "release", delivery, delayMs: 0 });
    }
    if (staying !== undefined) this.#buffer.push(staying);
  }

  async #acknowledge(deliveries: readonly Delivery[]): Promise<void> {
    try {
      await this.#options.subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
    } catch (error) {
      // Those that were not acknowledged come again; for those that were, this changes nothing.
      this.#send(deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));
      throw error;
    }
  }

  /** Starts what waits, as far as there are slots. */
  #pump(): void {
    const { concurrency, ackFirst } = this.#options;
    const mayBegin = (!this.#stopping && !this.#paused && !this.#isClearing) || ackFirst;
    while (mayBegin && this.#active < concurrency && this.#next < this.#buffer.length) {
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
    this.#running.add(run);
  }

  /** A run that was cut short has ended already: its late outcome is of no interest. */
  readonly #onEnd = (run: DeliveryContext, outcome: Outcome): void => {
    if (this.#running.end(run)) this.#end(run, outcome);
  };

  #end(run: DeliveryContext, outcome: Outcome): void {
    this.#active--;
    this.#settle(run, outcome);
    this.#pump();
  }

  #settle(run: DeliveryContext, outcome: Outcome): void {
    const judged = this.#breaker === undefined ? outcome : this.#breaker.judge(outcome);
    const settlement = this.#options.settler.settle(run, judged);
    if (settlement instanceof Promise) {
      this.#outstanding.track(settlement.then((ready) => this.#push(ready)));
    } else this.#push(settlement);
  }

  #push(settlement: Settlement): void {
    this.#held--;
    this.#leases.release(settlement.delivery);
    if (!this.#options.ackFirst) {
      if (this.#settlements.length === 0) soon(this.#flushSoon);
      this.#settlements.push(settlement);
    }
    if (this.#onRoom !== undefined && this.#held <= this.#most >> 1) this.#onRoom();
  }

  #flush(): void {
    if (this.#settlements.length === 0) return;
    const settlements = this.#settlements;
    this.#settlements = [];
    this.#send(settlements);
  }

  /** A settlement that fails is a delivery that comes again: told, not thrown. */
  #send(settlements: readonly Settlement[]): void {
    this.#outstanding.track(this.#hand(settlements));
  }

  async #hand(settlements: readonly Settlement[]): Promise<void> {
    try {
      await this.#options.subscription.settle(settlements);
    } catch (error) {
      this.#fault("settle", error);
    }
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
    this.#active--;
    this.#settle(run, { kind: "snoozed", delayMs: 0 });
  }

  /** From here on the run's effects are refused; under exactly-once another delivery may claim the id. */
  #cut(run: DeliveryContext, reason: HeraldError): void {
    run.abort(reason);
    if (run.outbox !== undefined) this.#outstanding.track(this.#disclaim(run));
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
