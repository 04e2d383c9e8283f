import type { Subscription } from "../core/broker.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import { HeraldError, isHeraldError, toHeraldError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import { DeliveryContext } from "./context.ts";
import { Outstanding } from "./outstanding.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { runPipeline } from "./pipeline.ts";
import { Running } from "./running.ts";
import { soon } from "./soon.ts";
import type { Settler } from "./settle.ts";
import type { Handling } from "./stages.ts";

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
}

/** A waiting receive is asked again after this long; brokers answer it earlier when there is something. */
const WAIT_MS = 30_000;
/** Places of the buffer that may lie empty in front. */
const COMPACT_AT = 256;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 5000;

/** Asks a subscription for as much as there is room for, runs the pipeline, settles in batches, drains. */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #running: Running;
  readonly #leases: LeaseKeeper;
  readonly #buffer: (Delivery | undefined)[] = [];
  #next = 0;
  #held = 0;
  #active = 0;
  #settlements: Settlement[] = [];
  readonly #outstanding = new Outstanding();
  #stopping = false;
  readonly #flushSoon = (): void => this.#flush();
  #onRoom: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { clock } = options.handling;
    this.#running = new Running(clock, options.handlerTimeoutMs, (run, error) => this.#timeOut(run, error));
    this.#leases = new LeaseKeeper(clock, (settlements) => this.#send(settlements));
  }

  /** Handlers that run now. */
  get active(): number {
    return this.#active;
  }

  start(): void {
    this.#loop ??= this.#consume();
  }

  /**
   * Stops asking, gives back what was not started, lets running handlers finish for `graceMs`, then aborts them and
   * gives their messages back. Resolves to how many were aborted.
   */
  async drain(graceMs: number): Promise<number> {
    this.#stopping = true;
    this.#onRoom?.();
    await this.#options.subscription.close();
    await this.#loop;
    while (this.#next < this.#buffer.length) this.#push({ kind: "release", delivery: this.#take(), delayMs: 0 });
    await this.#graceful(graceMs);
    const abandoned = this.#running.all();
    for (const run of abandoned) this.#abandon(run);
    await this.#outstanding.idle();
    this.#flush();
    await this.#outstanding.idle();
    return abandoned.length;
  }

  async #consume(): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!this.#stopping) {
      if (this.#held > this.#options.prefetch >> 1) await this.#room();
      this.#flush();
      try {
        const deliveries = await this.#options.subscription.receive(this.#options.prefetch - this.#held, WAIT_MS);
        await this.#accept(deliveries);
        backoffMs = FIRST_BACKOFF_MS;
      } catch (error) {
        if (isHeraldError(error) && error.code === "CLOSED") return;
        emit("fault", () => ({ agent: this.#options.agentId, error: toHeraldError(error), where: "receive" }));
        await this.#pause(backoffMs);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      }
    }
  }

  async #accept(deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.length === 0) return;
    if (this.#options.ackFirst) {
      await this.#options.subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
    }
    for (const delivery of deliveries) {
      this.#buffer.push(delivery);
      this.#leases.hold(delivery);
    }
    this.#held += deliveries.length;
    this.#pump();
  }

  /** Starts what waits, as far as there are slots. */
  #pump(): void {
    while (this.#active < this.#options.concurrency && this.#next < this.#buffer.length && !this.#stopping) this.#begin(this.#take());
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
    const counters = settler.counters(delivery.envelope.channel);
    counters.delivered++;
    if (delivery.attempt > 1) counters.redelivered++;
    const run = new DeliveryContext(delivery, agentId, handling.group);
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
    const settlement = this.#options.settler.settle(run, outcome);
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
    if (this.#onRoom !== undefined && this.#held <= this.#options.prefetch >> 1) this.#onRoom();
  }

  #flush(): void {
    if (this.#settlements.length === 0) return;
    const settlements = this.#settlements;
    this.#settlements = [];
    this.#send(settlements);
  }

  /** A settlement that fails is a delivery that comes again: told, not thrown. */
  #send(settlements: readonly Settlement[]): void {
    const sent = this.#options.subscription.settle(settlements).catch((error: unknown) => {
      emit("fault", () => ({ agent: this.#options.agentId, error: toHeraldError(error), where: "settle" }));
    });
    this.#outstanding.track(sent);
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = () => {
        this.#onRoom = undefined;
        resolve();
      };
    });
  }

  #timeOut(run: DeliveryContext, error: HeraldError): void {
    this.#running.end(run);
    this.#cut(run, error);
    this.#end(run, { kind: "failed", error });
  }

  /** The service stops and the handler has not ended: its message goes back, uncounted. */
  #abandon(run: DeliveryContext): void {
    this.#running.end(run);
    this.#cut(run, new HeraldError("CANCELLED", "The service stops and its grace period is over: end when context.signal fires."));
    this.#active--;
    this.#settle(run, { kind: "snoozed", delayMs: 0 });
  }

  /** From here on the run's effects are refused; under exactly-once another delivery may claim the id. */
  #cut(run: DeliveryContext, reason: HeraldError): void {
    run.abort(reason);
    const { inbox, group } = this.#options.handling;
    if (inbox !== undefined && run.outbox !== undefined) void inbox.abandon(group ?? run.agentId, run.envelope.id);
  }

  async #graceful(graceMs: number): Promise<void> {
    if (this.#running.size === 0) return;
    let giveUp: (() => void) | undefined;
    const over = new Promise<void>((resolve) => (giveUp = resolve));
    const timer = this.#options.handling.clock.setTimer(graceMs, () => giveUp?.());
    await Promise.race([this.#running.idle(), over]);
    timer.cancel();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const { clock } = this.#options.handling;
      const timer = clock.setTimer(delayMs, () => this.#onRoom?.());
      this.#onRoom = () => {
        this.#onRoom = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}
