import type { Broker, Capabilities, PublishResult, Subscription } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import type { Timers } from "../shared/timers.ts";
import {
  DELAY_PREFIX,
  fromScheduled,
  leftOf,
  toDue,
  toScheduled,
  type Held,
  type Scheduled,
} from "./held.ts";
import { Parking, type Parked } from "./parking.ts";

/** What a schedule needs. */
export interface ScheduleOptions {
  readonly broker: Broker;
  readonly below: Capabilities;
  readonly timers: Timers;
  fault(error: HeraldError): void;
}

/** What waits less than this is kept in hand until its moment. */
const NEAR_MS = 4000;
/**
 * The others wait in steps of a fourth of the next: 4 s, 16 s, … 3 days. All of a step wait equally long, so that the first in
 * is the first out and only the first few need be in hand. What has waited goes on to the largest step that is left of its time.
 */
const STEPS = 9;
const GROUP = "herald.delay";
const NEAR_PREFETCH = 10_000;
const STEP_PREFETCH = 1000;
const BATCH = 500;
const WAIT_MS = 60_000;
const PAUSE_MS = 1000;

interface Due {
  readonly subscription: Subscription;
  readonly delivery: Delivery;
  readonly held: Held<Scheduled>;
  /** What is left of its time. */
  readonly leftMs: number;
}

/** The channel of step `step`; 0 is the near one. */
function channelOf(step: number): string {
  return `${DELAY_PREFIX}at.${step}`;
}

function waitOf(step: number): number {
  return NEAR_MS * 4 ** (step - 1);
}

/** The step that a message waits in next. */
function stepOf(leftMs: number): number {
  let step = 0;
  while (step < STEPS && waitOf(step + 1) <= leftMs) step++;
  return step;
}

/**
 * Messages that are to be delivered later. They lie on channels of the broker itself and are moved on by whichever process is
 * there: published where they go, then acknowledged where they were. A crash between the two leaves both; an id that is to be
 * recognised is.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #parking: Parking;
  readonly #subscriptions: Subscription[] = [];
  readonly #loops: Promise<void>[] = [];
  #due: Due[] = [];
  readonly #moving = new Set<Promise<void>>();
  readonly #pauses = new Set<{ cut(): void }>();
  #isOver = false;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#parking = new Parking(options.timers, (error) => options.fault(error));
  }

  /** Reads every step. */
  async start(): Promise<void> {
    const steps = Array.from({ length: STEPS + 1 }, (_none, step) => step);
    await Promise.all(
      steps.map(async (step) => {
        const prefetch = step === 0 ? NEAR_PREFETCH : STEP_PREFETCH;
        const spec = { pattern: channelOf(step), group: GROUP, prefetch };
        const subscription = await this.#options.broker.subscribe(spec);
        this.#subscriptions.push(subscription);
        this.#loops.push(this.#read(subscription, step));
      }),
    );
  }

  /** The envelope as it is published to wait for its time. */
  hold(envelope: Envelope, isDeduped: boolean): Envelope {
    const at = this.#now();
    return this.#hold(envelope, { leftMs: (envelope.deliverAt ?? at) - at, at, isDeduped, hop: 0 });
  }

  /** Gives back what is in hand: others go on. */
  async stop(): Promise<void> {
    this.#isOver = true;
    for (const pause of this.#pauses) pause.cut();
    const parked = Map.groupBy(this.#parking.clear(), ({ subscription }) => subscription);
    await Promise.allSettled(
      [...parked].map(([subscription, all]) =>
        subscription.settle(all.map(({ delivery }) => ({ kind: "release", delivery, delayMs: 0 }))),
      ),
    );
    await Promise.allSettled(this.#moving);
    await Promise.allSettled(this.#subscriptions.map((subscription) => subscription.close()));
    await Promise.allSettled(this.#loops);
  }

  #hold(envelope: Envelope, facts: Scheduled): Envelope {
    return toScheduled(envelope, channelOf(stepOf(facts.leftMs)), facts);
  }

  async #read(subscription: Subscription, step: number): Promise<void> {
    while (!this.#isOver) {
      try {
        for (const delivery of await subscription.receive(BATCH, WAIT_MS))
          this.#park(subscription, delivery, step);
      } catch (error) {
        if (this.#isOver) return;
        this.#options.fault(toHeraldError(error));
        await this.#pause();
      }
    }
  }

  #park(subscription: Subscription, delivery: Delivery, step: number): void {
    const held = fromScheduled(delivery.envelope);
    if (held === undefined || this.#isOver) {
      // What somebody else wrote here waits for nothing.
      const kind = held === undefined ? "ack" : "release";
      subscription.settle([{ kind, delivery, delayMs: 0 }]).catch(() => {});
      return;
    }
    const leftMs = leftOf(held.facts, this.#now());
    const waitedMs = held.facts.leftMs - leftMs;
    const waitMs = step === 0 ? leftMs : Math.min(leftMs, waitOf(step) - waitedMs);
    const parked: Parked = {
      subscription,
      delivery,
      due: () => this.#fallDue({ subscription, delivery, held, leftMs: leftMs - Math.max(0, waitMs) }),
    };
    if (waitMs <= 0) parked.due();
    else this.#parking.park(parked, waitMs);
  }

  /** What falls due in one turn is moved together, in the order of its time. */
  #fallDue(due: Due): void {
    if (this.#due.length === 0)
      queueMicrotask(() => {
        const all = this.#due.toSorted((a, b) => deliverAtOf(a) - deliverAtOf(b));
        this.#due = [];
        const moving = this.#moveAll(all).finally(() => this.#moving.delete(moving));
        this.#moving.add(moving);
      });
    this.#due.push(due);
  }

  async #moveAll(all: readonly Due[]): Promise<void> {
    const size = Math.min(BATCH, this.#options.below.maxBatch);
    for (const isDeduped of [true, false]) {
      const part = all.filter(({ held }) => held.facts.isDeduped === isDeduped);
      for (let from = 0; from < part.length; from += size)
        await this.#move(part.slice(from, from + size), isDeduped && this.#options.below.dedupe);
    }
  }

  async #move(part: readonly Due[], dedupe: boolean): Promise<void> {
    const at = this.#now();
    const envelopes = part.map(({ held: { envelope, facts }, leftMs }) =>
      leftMs > 0 ? this.#hold(envelope, { ...facts, leftMs, at, hop: facts.hop + 1 }) : toDue(envelope),
    );
    let results: readonly PublishResult[];
    try {
      results = await this.#options.broker.publish(envelopes, dedupe ? { dedupe } : undefined);
    } catch (error) {
      results = part.map(() => ({ ok: false, error: toHeraldError(error) }));
    }
    const moved = new Map<Subscription, Delivery[]>();
    for (const [n, due] of part.entries()) {
      const result = results[n];
      if (result?.ok !== false)
        moved.set(due.subscription, [...(moved.get(due.subscription) ?? []), due.delivery]);
      else this.#again(due, result.error);
    }
    for (const [subscription, deliveries] of moved)
      await subscription
        .settle(deliveries.map((delivery) => ({ kind: "ack", delivery })))
        .catch((error: unknown) => this.#options.fault(toHeraldError(error)));
  }

  /** It could not be moved: it stays in hand, and is tried again. */
  #again(due: Due, error: HeraldError): void {
    if (this.#isOver) return;
    this.#options.fault(error);
    const { subscription, delivery } = due;
    this.#parking.park({ subscription, delivery, due: () => this.#fallDue(due) }, PAUSE_MS);
  }

  async #pause(): Promise<void> {
    const pause = this.#options.timers.pause(PAUSE_MS);
    this.#pauses.add(pause);
    await pause.over;
    this.#pauses.delete(pause);
  }

  #now(): number {
    return this.#options.timers.clock.now();
  }
}

function deliverAtOf({ held }: Due): number {
  return held.envelope.deliverAt ?? 0;
}
