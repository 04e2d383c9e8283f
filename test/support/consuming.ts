import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { onTestFinished } from "vitest";
import type { Subscription } from "../../src/core/broker.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Delivery, Settlement } from "../../src/core/delivery.ts";
import type { EnvelopeInit } from "../../src/core/envelope.ts";
import { Codecs, PLAIN } from "../../src/codec/codecs.ts";
import { HeraldError } from "../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { Handler } from "../../src/core/middleware.ts";
import { Consumer, type ConsumerOptions } from "../../src/delivery/consumer.ts";
import { Ledger } from "../../src/delivery/ledger.ts";
import { MemoryStores } from "../../src/stores/memory-stores.ts";
import { retryPolicy } from "../../src/delivery/retry.ts";
import { Settler, type SettleOptions } from "../../src/delivery/settle.ts";
import type { Handling } from "../../src/delivery/stages.ts";
import { Metrics } from "../../src/observability/metrics.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { envelope } from "./envelopes.ts";

/** A delivery of an envelope whose body is the JSON of `payload`, or the bytes of `body`. */
export function delivery(
  init: Partial<EnvelopeInit> & { readonly payload?: unknown } = {},
  more: Partial<Delivery> = {},
): Delivery {
  const { payload = null, ...rest } = init;
  const body = new TextEncoder().encode(JSON.stringify(payload));
  return {
    envelope: envelope({ body, ...rest }),
    attempt: 1,
    position: "1",
    leaseMs: null,
    failures: [],
    receipt: undefined,
    ...more,
  };
}

/** Several deliveries, each of its own envelope. */
export function deliveries(count: number, more: Partial<Delivery> = {}): Delivery[] {
  return Array.from({ length: count }, (_none, at) => delivery({ payload: at }, more));
}

/** A subscription that hands out what it is given and fails when it is told to. */
export class ScriptedSubscription implements Subscription {
  /** The limit of every receive, in order. */
  readonly asked: number[] = [];
  /** Every settlement, in order, also those of calls that failed. */
  readonly settled: Settlement[] = [];
  closed = false;
  /** How often it was told to keep nothing in hand. */
  gaveBackUnread = 0;
  /** What happens in a settle beside recording it. */
  onSettle: (settlements: readonly Settlement[]) => Promise<void> = () => Promise.resolve();
  /** What happens in a close beside ending it. */
  onClose: () => Promise<void> = () => Promise.resolve();
  /** Errors of the next receives. */
  readonly failures: Error[] = [];
  #backlog: Delivery[] = [];
  #waiting: { readonly limit: number; readonly resolve: (got: readonly Delivery[]) => void } | undefined;

  give(...more: readonly Delivery[]): void {
    this.#backlog.push(...more);
    this.#wake();
  }

  /** How many deliveries nobody has asked for yet. */
  get waiting(): number {
    return this.#backlog.length;
  }

  receive(limit: number): Promise<readonly Delivery[]> {
    this.asked.push(limit);
    const failure = this.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    if (this.closed) return Promise.resolve([]);
    return new Promise((resolve) => {
      this.#waiting = { limit, resolve };
      this.#wake();
    });
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    this.settled.push(...settlements);
    return this.onSettle(settlements);
  }

  giveBackUnread(): Promise<void> {
    this.gaveBackUnread++;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed = true;
    this.#waiting?.resolve([]);
    this.#waiting = undefined;
    return this.onClose();
  }

  /** `kind id` of every settlement. */
  get outcomes(): string[] {
    return this.settled.map(({ kind, delivery }) => `${kind} ${delivery.envelope.id}`);
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || this.#backlog.length === 0) return;
    this.#waiting = undefined;
    waiting.resolve(this.#backlog.splice(0, waiting.limit));
  }
}

/** A handling with everything filled in that a test does not care about. */
export function handlingOf(handler: Handler, clock: Clock, more: Partial<Handling> = {}): Handling {
  return {
    clock,
    codecs: new Codecs(PLAIN, DEFAULT_LIMITS),
    group: "g",
    scope: "g",
    counters: () => ({ delivered: 0 }),
    handler,
    filter: undefined,
    validate: undefined,
    manual: false,
    maxAttempts: Infinity,
    inbox: undefined,
    ledger: () => {
      throw new HeraldError("UNSUPPORTED", "This bench has no ledger.");
    },
    begin: () => {
      throw new HeraldError("UNSUPPORTED", "This bench has no transactions.");
    },
    commit: () => Promise.resolve(),
    commitsAll: () => false,
    publishAll: () => Promise.resolve(),
    spending: {
      agentId: "a",
      now: () => clock.now(),
      ledger: () => new Ledger(new MemoryStores().values, clock),
      counted: new Set(),
    },
    stops: undefined,
    ...more,
  };
}

/** A settler whose dead letters go nowhere, unless the test says where. */
export function settlerOf(clock: Clock, more: Partial<SettleOptions> = {}): Settler {
  return new Settler({
    clock,
    meter: new Metrics(clock),
    logger: silentLogger,
    agentId: "a",
    group: "g",
    policy: retryPolicy(),
    deadLetterChannel: "dlq.a",
    expiredToDlq: false,
    once: false,
    publish: () => Promise.resolve(),
    ...more,
  });
}

/** A consumer on a scripted subscription, on a fake clock. */
export interface Bench {
  readonly clock: FakeClock;
  readonly subscription: ScriptedSubscription;
  readonly metrics: Metrics;
  readonly consumer: Consumer;
}

/** What may differ from bench to bench. */
export interface BenchOptions {
  readonly consumer?: Partial<ConsumerOptions>;
  readonly handling?: Partial<Handling>;
  readonly settler?: Partial<SettleOptions>;
}

/** A started consumer that runs `handler`. */
export function bench(handler: Handler, options: BenchOptions = {}): Bench {
  const clock = new FakeClock();
  const subscription = new ScriptedSubscription();
  const metrics = new Metrics(clock);
  const settler = settlerOf(clock, { meter: metrics, ...options.settler });
  const counters = (channel: string) => settler.counters(channel);
  const consumer = new Consumer({
    agentId: "a",
    subscription,
    handling: handlingOf(handler, clock, { counters, ...options.handling }),
    settler,
    concurrency: 10,
    prefetch: 100,
    handlerTimeoutMs: Infinity,
    ackFirst: false,
    ...options.consumer,
  });
  consumer.start();
  return { clock, subscription, metrics, consumer };
}

/** What one of Herald's events tells from now to the end of the test. */
export function eventsOf<T>(
  name: "published" | "settled" | "dead-lettered" | "handler-error" | "fault" | "circuit-changed",
): T[] {
  const heard: T[] = [];
  const listener = (event: unknown): void => void heard.push(event as T);
  subscribe(`herald:${name}`, listener);
  onTestFinished(() => void unsubscribe(`herald:${name}`, listener));
  return heard;
}
