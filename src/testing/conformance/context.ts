import assert from "node:assert/strict";
import type { Broker, Capabilities, Subscription, SubscriptionSpec } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";
import { createEnvelope, type Envelope, type EnvelopeInit } from "../../core/envelope.ts";
import { History } from "../checker/history.ts";
import { FlakyBroker } from "../flaky-broker.ts";
import { randomInt, seededRandom, type Random } from "../random.ts";
import type { ServicePortOptions } from "../service-port.ts";
import type { TestTime } from "../time.ts";
import { RecordedBroker, type CaseRecords } from "./recorded-broker.ts";
import { RecordedService } from "./recorded-service.ts";
import { SharedBroker } from "./shared-broker.ts";
import type { Bounds, FailoverKind, Harness, Need, SwitchControl } from "./harness.ts";

/** What the runner made for one case. */
export interface CaseParts {
  readonly harness: Harness;
  /** The case's id. */
  readonly id: string;
  /** The storage of the case. */
  readonly place: string;
  /** Open. */
  readonly broker: Broker;
  readonly capabilities: Capabilities;
  readonly abilities: ReadonlySet<Need>;
  readonly time: TestTime;
  readonly seed: number;
}

/** Options of a service for one case. */
export type CaseServiceOptions = Partial<Omit<ServicePortOptions, "broker" | "clock">> & {
  /** Put between the service and the broker. */
  readonly faulty?: FlakyBroker;
};

/** A storage that nobody else uses. */
export function newPlace(): string {
  return `p${Date.now().toString(36)}-${randomInt(Math.random, 36 ** 6).toString(36)}`;
}

const BODY = new TextEncoder().encode('{"n":1}');

/** Everything a case may use: a broker that is open and recorded, services over it, names, time, and what to wait for. */
export class CaseContext {
  readonly broker: Broker;
  readonly capabilities: Capabilities;
  readonly harness: Harness;
  readonly time: TestTime;
  readonly history: History;
  readonly random: Random;
  /** A length of time that matters in this case: long where time is stepped, short where it must be waited for. */
  readonly unitMs: number;
  readonly #parts: CaseParts;
  readonly #run: string;
  readonly #records: CaseRecords;
  readonly #ids = new Map<string, number>();
  readonly #channels = new Set<string>();
  readonly #services: RecordedService[] = [];
  readonly #others: Broker[] = [];
  #isOver = false;
  #progressAt: number | undefined;

  constructor(parts: CaseParts) {
    this.#parts = parts;
    this.capabilities = parts.capabilities;
    this.harness = parts.harness;
    this.time = parts.time;
    this.history = new History(parts.time.clock);
    this.#records = {
      history: this.history,
      published: new Set(),
      hashedAsMessage: new Set(),
      batches: 0,
      consumers: 0,
    };
    this.broker = new RecordedBroker(parts.broker, this.#records);
    this.random = seededRandom(parts.seed);
    this.unitMs = parts.time.isStepped ? 1000 : 60;
    this.#run = `${Date.now().toString(36)}${randomInt(Math.random, 36 ** 4).toString(36)}`;
  }

  /** The storage of this case. */
  get place(): string {
    return this.#parts.place;
  }

  /** Does the broker, or the harness, have this? */
  has(need: Need): boolean {
    return this.#parts.abilities.has(need);
  }

  /** The reference's count of messages, scaled for this harness; never under `least`. */
  count(reference: number, least = 10): number {
    return Math.max(Math.min(reference, least), Math.round(reference * (this.harness.scale ?? 1)));
  }

  /** A channel that nobody else uses; it holds the case's id. */
  channel(suffix = "main"): string {
    const name = `${this.#parts.id}.${this.#run}.${suffix}`;
    this.#channels.add(name);
    return name;
  }

  /** An agent that nobody else is. */
  agent(suffix = "agent"): string {
    return `${this.#parts.id}-${this.#run}-${suffix}`;
  }

  /** The next id of a writer: `…-writer-counter`. */
  nextId(writer = "w"): string {
    const counter = this.#ids.get(writer) ?? 0;
    this.#ids.set(writer, counter + 1);
    return `${this.#run}-${writer}-${counter}`;
  }

  /** An envelope for a channel, with a fresh id unless one is given. */
  envelope(channel: string, init: Partial<EnvelopeInit> = {}): Envelope {
    return createEnvelope({
      id: init.id ?? this.nextId(),
      channel,
      source: "conformance",
      time: this.time.clock.now(),
      body: BODY,
      ...init,
    });
  }

  /** `count` envelopes for a channel. */
  envelopes(
    channel: string,
    count: number,
    init: (at: number) => Partial<EnvelopeInit> = () => ({}),
  ): Envelope[] {
    return Array.from({ length: count }, (_none, at) => this.envelope(channel, init(at)));
  }

  /** Publishes in order, in batches the broker takes; every one must be acknowledged. */
  async publish(...envelopes: readonly Envelope[]): Promise<void> {
    const size = Math.min(this.capabilities.maxBatch, 1000);
    for (let from = 0; from < envelopes.length; from += size) {
      const batch = envelopes.slice(from, from + size);
      const results = await this.time.drive(this.broker.publish(batch));
      assert.equal(results.length, batch.length, "publish must give one result for each envelope");
      for (const result of results) if (!result.ok) throw result.error;
    }
  }

  /** Subscribes; group `g` and a prefetch of 1000 unless said otherwise. */
  subscribe(pattern: string, spec: Partial<SubscriptionSpec> = {}): Promise<Subscription> {
    return this.broker.subscribe({ pattern, group: "g", prefetch: 1000, ...spec });
  }

  /** One receive, however much time it takes. */
  receive(subscription: Subscription, limit: number, waitMs: number): Promise<readonly Delivery[]> {
    return this.time.drive(subscription.receive(limit, waitMs));
  }

  /** Exactly `count` deliveries; rejects when fewer come in time. They are not settled. */
  async take(
    subscription: Subscription,
    count: number,
    withinMs: number = this.time.patienceMs,
  ): Promise<Delivery[]> {
    const taken: Delivery[] = [];
    const endsAt = this.time.clock.monotonic() + withinMs;
    while (taken.length < count)
      taken.push(...(await this.#some(subscription, count - taken.length, endsAt)));
    return taken;
  }

  /** Takes exactly `count` deliveries and acknowledges them, in portions, so that any prefetch will do. */
  async drain(subscription: Subscription, count: number, portion = 100): Promise<Delivery[]> {
    const taken: Delivery[] = [];
    while (taken.length < count) {
      const endsAt = this.time.clock.monotonic() + this.time.patienceMs;
      const deliveries = await this.#some(subscription, Math.min(portion, count - taken.length), endsAt);
      await this.ack(subscription, deliveries);
      taken.push(...deliveries);
    }
    return taken;
  }

  /**
   * For consumers that run side by side: what comes, or nothing after a moment. Rejects once nothing has come to any of
   * them for longer than patience lasts, and when the case is over, so that no consumer outlives its case.
   */
  async poll(subscription: Subscription, limit: number, waitMs = 100): Promise<readonly Delivery[]> {
    if (this.#isOver) throw new Error("The case is over.");
    const deliveries = await subscription.receive(limit, waitMs);
    const now = this.time.clock.monotonic();
    if (deliveries.length > 0 || this.#progressAt === undefined) this.#progressAt = now;
    const idleMs = now - this.#progressAt;
    if (idleMs > this.time.patienceMs)
      throw new Error(`No consumer got anything for ${Math.round(idleMs)} ms.`);
    return deliveries;
  }

  /** Acknowledges. */
  ack(subscription: Subscription, deliveries: readonly Delivery[]): Promise<void> {
    return this.time.drive(subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery }))));
  }

  /** Nothing comes for `forMs`. */
  async nothing(subscription: Subscription, forMs: number = this.unitMs): Promise<void> {
    const deliveries = await this.receive(subscription, 1000, forMs);
    const ids = deliveries.map(({ envelope, attempt }) => `${envelope.id} (attempt ${attempt})`);
    assert.deepEqual(ids, [], "nothing must be handed out here");
  }

  /** How much of a channel the group has not acknowledged. */
  async lag(channel: string, group = "g"): Promise<number | null> {
    const report = await this.time.drive(this.broker.inspect({ channels: [channel] }));
    const found = report.channels
      .find((entry) => entry.channel === channel)
      ?.groups.find((entry) => entry.group === group);
    return found?.lag ?? null;
  }

  /** A second, open broker of the same kind; it is closed when the case ends. */
  async another(bounds?: Bounds): Promise<Broker> {
    const { harness, time } = this.#parts;
    const clock = time.isStepped ? { clock: time.clock } : {};
    const place = newPlace();
    const broker = await harness.create({ place, ...clock, ...(bounds === undefined ? {} : { bounds }) });
    await this.time.drive(broker.open());
    this.#others.push(broker);
    return new RecordedBroker(broker, this.#records);
  }

  /** A failover broker of the case's place, open; it is closed when the case ends. */
  async failover(kind: FailoverKind): Promise<{
    /** Recorded. */
    readonly broker: Broker;
    /** For a service: `faulty` of its options. */
    readonly bare: FlakyBroker;
    readonly control: SwitchControl;
  }> {
    const { place, time, harness } = this.#parts;
    const clock = time.isStepped ? { clock: time.clock } : {};
    const made = harness.primary?.broker(kind, { place, ...clock });
    if (made === undefined) throw new Error("The harness has no primary.");
    await this.time.drive(made.broker.open());
    this.#others.push(made.broker);
    return {
      broker: new RecordedBroker(made.broker, this.#records),
      bare: new FlakyBroker(made.broker),
      control: made.control,
    };
  }

  /** The case's broker, failing on a script; every fault that strikes is written into the history. */
  flaky(): FlakyBroker {
    const broker = new FlakyBroker(this.#parts.broker);
    broker.onFault((fault) => this.history.add({ type: "nemesis", fault }));
    return broker;
  }

  /** A started, recorded service over the case's broker; it is stopped when the case ends. */
  async service(options: CaseServiceOptions = {}): Promise<RecordedService> {
    const { faulty, ...rest } = options;
    const agentId = rest.agentId ?? this.agent();
    const broker = new SharedBroker(faulty ?? this.#parts.broker, this.capabilities, this.#records);
    const { clock } = this.time;
    // Waiting for a retry is refused where the broker cannot wait, so it is only asked for by cases that name the need.
    const retry = this.has("nackDelay") ? {} : { retry: { maxAttempts: 1 } };
    const port = this.harness.createService({ ...retry, ...rest, agentId, broker, clock });
    const recorder = { records: this.#records, clock, agentId, nextId: () => this.nextId() };
    const service = new RecordedService(port, recorder);
    await this.time.drive(port.start());
    this.#services.push(service);
    return service;
  }

  /** Waits for a condition. */
  until(
    condition: () => boolean | Promise<boolean>,
    what: string | (() => string),
    withinMs?: number,
  ): Promise<void> {
    return this.time.until(condition, what, withinMs);
  }

  /** Runs a call that must reject, and gives the code it rejects with. */
  async codeOf(call: Promise<unknown>): Promise<string> {
    try {
      await this.time.drive(call);
    } catch (error) {
      return (error as { code?: string }).code ?? `no code: ${String(error)}`;
    }
    return "it did not reject";
  }

  /** For the runner: records what lies in the dead letters, stops every service, closes every broker. */
  async finish(): Promise<void> {
    this.#isOver = true;
    if (this.has("admin")) await this.#recordDeadLetters();
    for (const { port } of this.#services) await this.time.drive(port.stop({ gracePeriodMs: this.unitMs }));
    for (const broker of [...this.#others, this.#parts.broker]) await this.time.drive(broker.close());
  }

  /** Through any service that still runs. */
  async #recordDeadLetters(): Promise<void> {
    for (const service of this.#services.toReversed()) {
      try {
        service.recordDeadLetters(await this.time.drive(service.deadLetters([...this.#channels])));
        return;
      } catch (error) {
        if (!["CLOSED", "NOT_CONNECTED"].includes((error as { code?: string }).code ?? "")) throw error;
      }
    }
  }

  /** At least one delivery, or a rejection once the time is over. */
  async #some(subscription: Subscription, most: number, endsAt: number): Promise<readonly Delivery[]> {
    for (;;) {
      const leftMs = endsAt - this.time.clock.monotonic();
      if (leftMs <= 0) throw new Error(`Up to ${most} deliveries more must come, and none came in time.`);
      const deliveries = await this.receive(subscription, most, leftMs);
      if (deliveries.length > 0) return deliveries;
    }
  }
}
