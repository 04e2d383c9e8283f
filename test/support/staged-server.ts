import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../src/core/broker.ts";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import type { Delivery, Settlement } from "../../src/core/delivery.ts";
import type { Envelope } from "../../src/core/envelope.ts";
import { HeraldError } from "../../src/core/errors.ts";
import type { Inbox, InboxOptions } from "../../src/core/store.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";

/** How soon a waiting receive finds out that its server is gone. */
const LOOK_MS = 10;

/** What a staged server keeps its messages in; not open yet. */
export type StagedStore = Broker & Required<Pick<Broker, "admin">>;

function memoryStore(clock: Clock): MemoryBroker {
  return new MemoryBroker({ clock, replay: 1_000_000, dedupeWindowMs: 120_000 });
}

/**
 * A server in this process: it keeps its messages, as a durable one does, while it is killed,
 * paused, emptied or set back to an old copy under the brokers that are its clients.
 */
export class StagedServer {
  readonly clock: Clock;
  store: StagedStore;
  inboxes = new Map<string, MemoryInbox>();
  /** Changes with every store: subscriptions of an older one are made again. */
  generation = 0;
  /** Everything that was stored, in order: what a copy is made of. */
  #log: Envelope[] = [];
  #opened: Promise<Capabilities> | undefined;
  #state: "up" | "down" | "silent" = "up";
  #waiting: (() => void)[] = [];

  readonly #make: (clock: Clock) => StagedStore;

  constructor(clock: Clock = systemClock, make: (clock: Clock) => StagedStore = memoryStore) {
    this.clock = clock;
    this.#make = make;
    this.store = make(clock);
  }

  get isUp(): boolean {
    return this.#state !== "down";
  }

  /** A broker that is a client of this server. */
  client(): Broker {
    return new StagedClient(this);
  }

  async kill(): Promise<void> {
    this.#state = "down";
    this.#release();
  }

  async start(): Promise<void> {
    this.#state = "up";
    this.#release();
  }

  async pause(): Promise<void> {
    this.#state = "silent";
  }

  async resume(): Promise<void> {
    await this.start();
  }

  /** All it held is gone. */
  async empty(): Promise<void> {
    this.#replace([]);
  }

  /** What it holds now; calling the result brings it back, and nothing else. */
  async copy(): Promise<() => Promise<void>> {
    const log = [...this.#log];
    return async () => this.#replace(log);
  }

  open(): Promise<Capabilities> {
    this.#opened ??= this.store.open();
    return this.#opened;
  }

  stored(envelopes: readonly Envelope[], results: readonly PublishResult[]): void {
    for (const [at, result] of results.entries())
      if (result.ok && !result.deduplicated && envelopes[at] !== undefined) this.#log.push(envelopes[at]);
  }

  /** Lets a call pass, makes it wait while the server is silent, or rejects it while it is down. */
  async reach(): Promise<void> {
    while (this.#state === "silent") await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#state === "down") throw gone();
  }

  inbox(options: InboxOptions): MemoryInbox {
    const name = JSON.stringify(options);
    let inbox = this.inboxes.get(name);
    if (inbox === undefined)
      this.inboxes.set(name, (inbox = new MemoryInbox({ ...options, clock: this.clock })));
    return inbox;
  }

  #replace(log: readonly Envelope[]): void {
    this.store = this.#make(this.clock);
    this.#opened = this.store.open().then(async (capabilities) => {
      if (log.length > 0) await this.store.publish(log, { dedupe: true });
      return capabilities;
    });
    this.#log = [...log];
    this.inboxes = new Map();
    this.generation++;
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

class StagedClient implements Broker {
  readonly name = "staged";
  readonly admin: BrokerAdmin;
  readonly #server: StagedServer;
  #isClosed = false;

  constructor(server: StagedServer) {
    this.#server = server;
    const call = async <T>(run: (admin: BrokerAdmin) => Promise<T>) => {
      await server.reach();
      return run(server.store.admin);
    };
    this.admin = {
      list: () => call((admin) => admin.list()),
      declare: (channel, options) => call((admin) => admin.declare(channel, options)),
      remove: (channel) => call((admin) => admin.remove(channel)),
      purge: (channel) => call((admin) => admin.purge(channel)),
      browse: (channel, options) => call((admin) => admin.browse(channel, options)),
      erase: (channel, positions) => call((admin) => admin.erase(channel, positions)),
    };
  }

  async open(): Promise<Capabilities> {
    await this.#server.reach();
    return this.#server.open();
  }

  async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    if (this.#isClosed) throw new HeraldError("CLOSED", "This staged client is closed.");
    await this.#server.reach();
    const results = await this.#server.store.publish(envelopes, options);
    this.#server.stored(envelopes, results);
    if (!this.#server.isUp)
      throw new HeraldError("PUBLISH_UNKNOWN", "The staged server died before it answered.");
    return results;
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    await this.#server.reach();
    const subscription = new StagedSubscription(this.#server, spec);
    await subscription.join();
    return subscription;
  }

  async inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    await this.#server.reach();
    return this.#server.store.inspect(query);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  createInbox(options: InboxOptions): Inbox {
    const call = async <T>(run: (inbox: MemoryInbox) => T) => {
      await this.#server.reach();
      return run(this.#server.inbox(options));
    };
    return {
      claim: (group, id) => call((inbox) => inbox.claim(group, id)),
      commit: (group, id) => call((inbox) => inbox.commit(group, id)),
      abandon: (group, id) => call((inbox) => inbox.abandon(group, id)),
    };
  }
}

class StagedSubscription implements Subscription {
  readonly #server: StagedServer;
  readonly #spec: SubscriptionSpec;
  readonly #out = new Set<Delivery>();
  #inner: Subscription | undefined;
  #generation = -1;
  #isClosed = false;

  constructor(server: StagedServer, spec: SubscriptionSpec) {
    this.#server = server;
    this.#spec = spec;
  }

  /** On the store that the server has now. One that it did not have before is read from its beginning. */
  async join(): Promise<Subscription> {
    if (this.#inner !== undefined && this.#generation === this.#server.generation) return this.#inner;
    const isAgain = this.#inner !== undefined;
    this.#generation = this.#server.generation;
    this.#out.clear();
    await this.#server.open();
    this.#inner = await this.#server.store.subscribe(
      isAgain ? { ...this.#spec, from: "earliest" } : this.#spec,
    );
    return this.#inner;
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const endsAt = this.#server.clock.monotonic() + waitMs;
    for (;;) {
      if (this.#isClosed) return [];
      await this.#gate();
      const inner = await this.join();
      const leftMs = endsAt - this.#server.clock.monotonic();
      const deliveries = await inner.receive(limit, Math.min(Math.max(0, leftMs), LOOK_MS));
      for (const delivery of deliveries) this.#out.add(delivery);
      await this.#gate();
      if (deliveries.length > 0 || leftMs <= 0) return deliveries;
    }
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    await this.#server.reach();
    const inner = await this.join();
    for (const { delivery } of settlements) this.#out.delete(delivery);
    await inner.settle(settlements);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#inner?.close();
  }

  /** A server that dies forgets who holds what, but for what it lent out. */
  async #gate(): Promise<void> {
    try {
      await this.#server.reach();
    } catch (error) {
      const held = [...this.#out].filter(({ leaseMs }) => leaseMs === null);
      this.#out.clear();
      await this.#inner?.settle(held.map((delivery) => ({ kind: "nack", delivery, delayMs: 0 })));
      throw error;
    }
  }
}

function gone(): HeraldError {
  return new HeraldError("NOT_CONNECTED", "The staged server is down: start it.");
}
