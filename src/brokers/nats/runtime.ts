import { randomBytes } from "node:crypto";
import type { Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { isWildcard } from "../../core/pattern.ts";
import { Timers } from "../shared/timers.ts";
import { Api, type StreamInfo } from "./api.ts";
import { Consumers } from "./consumers.ts";
import { closedError } from "./errors.ts";
import type { Link } from "./link.ts";
import { hearLive } from "./live.ts";
import { consumerOf, Names } from "./names.ts";
import { Notes } from "./notes.ts";
import type { NatsSettings } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Reader } from "./reader.ts";
import { Readers } from "./readers.ts";
import { Retention } from "./retention.ts";
import { Rivals } from "./rivals.ts";
import type { Session } from "./session.ts";
import { Settler } from "./settler.ts";
import { startOf, type Start } from "./start-from.ts";
import { ServerRun } from "./server-run.ts";
import { judge, madeIn, Storage } from "./storage.ts";
import { NatsSubscription, type SubscriptionHost } from "./subscription.ts";
import { Sweeper } from "./sweeper.ts";
import { Topology } from "./topology.ts";

/** Everything behind an open broker. */
export class Runtime {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly storage: Storage;
  readonly consumers: Consumers;
  readonly #topology: Topology;
  readonly #readers: Readers;
  readonly #rivals: Rivals;
  readonly #settler: Settler;
  readonly #sweeper: Sweeper;
  readonly #retention: Retention;
  readonly #run: ServerRun;
  readonly #subscriptionHost: SubscriptionHost;
  readonly #live = new Map<Reader, { unsubscribe(): void }>();
  readonly #subscriptions = new Set<NatsSubscription>();
  /** Readers in the making, so that two subscriptions of a group share one. */
  readonly #joining = new Map<string, Promise<Reader>>();
  #dropped = 0;
  #closed = false;

  constructor(settings: NatsSettings, link: Link) {
    const { clock } = settings;
    const isClosed = (): boolean => this.#closed;
    const session: Session = {
      link,
      api: new Api(link),
      names: new Names(settings.namespace),
      settings,
      clock,
      timers: new Timers(clock),
      id: randomBytes(6).toString("hex"),
      get isClosed() {
        return isClosed();
      },
      restore: () => this.#restore(),
    };
    const topology = new Topology(settings.ephemeral);
    const notes = new Notes(session);
    const settler = new Settler(session, notes);
    const rivals = new Rivals(session, (consumer) => topology.readers.get(consumer));
    this.session = session;
    this.#rivals = rivals;
    this.storage = new Storage(session);
    this.consumers = new Consumers(session);
    this.publisher = new Publisher(session, topology);
    this.#topology = topology;
    this.#settler = settler;
    this.#run = new ServerRun(session);
    const { consumers } = this;
    this.#readers = new Readers({ session, run: this.#run, topology, consumers, settler, notes, rivals });
    this.#sweeper = new Sweeper(session, topology, this.consumers);
    this.#retention = new Retention(session);
    this.#subscriptionHost = {
      timers: session.timers,
      settle: (settlements, holder) => settler.settle(settlements, holder),
      left: (subscription) => this.#left(subscription),
      closed: () => (this.#closed ? closedError() : undefined),
    };
  }

  /** Messages of channels that are not stored, which nobody had room for. */
  get dropped(): number {
    let dropped = this.#dropped;
    for (const { reader } of this.#subscriptions) dropped += reader.dropped;
    return dropped;
  }

  /** Resolves to the stream of the messages. */
  async start(): Promise<StreamInfo> {
    const info = await this.storage.stand();
    judge(info, this.session.settings);
    this.#stands(info);
    await this.#readers.start();
    this.#sweeper.start();
    this.#retention.start();
    return info;
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const start = startOf(spec.from);
    if (spec.ordering === "strict") throw noOrder();
    const { group, pattern } = spec;
    const reader =
      group === null ? await this.#listen(pattern, start) : await this.#shared(pattern, group, start);
    if (this.#closed) throw closedError();
    const subscription = new NatsSubscription(reader, spec.prefetch, this.#subscriptionHost);
    reader.members.add(subscription);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** A group forgets a pattern. */
  async dropGroup(pattern: string, group: string): Promise<void> {
    const reader = this.#topology.readers.get(consumerOf(pattern, group));
    await this.consumers.drop(pattern, group);
    if (reader === undefined) return;
    reader.drop();
    this.#readers.forget(reader);
  }

  /** Messages were taken away on purpose. */
  forgive(): void {
    for (const reader of this.#readers.all()) reader.expected.forgive();
  }

  /** How many messages of a consumer were given back here and wait for their time. */
  parked(consumer: string): number {
    return this.#topology.readers.get(consumer)?.parkedCount ?? 0;
  }

  /** Gives back what was never handed out, ends what waits. */
  async stop(): Promise<void> {
    if (this.#closed) return;
    // While the broker is not closed yet, what was not handed out is given back.
    const closing = Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
    const enough = this.session.timers.pause(this.session.settings.commandTimeoutMs);
    await Promise.race([closing, enough.over]);
    enough.cut();
    this.#closed = true;
    this.#sweeper.stop();
    this.#retention.stop();
    this.#settler.stop();
    this.#readers.stop();
    for (const live of this.#live.values()) live.unsubscribe();
    const { link, timers } = this.session;
    if (link.isUp) await link.flush().catch(() => {});
    timers.clear();
  }

  /** Makes the streams again where they are gone. Where the one of the messages is another one now, every reader is told. */
  async #restore(): Promise<void> {
    const info = await this.storage.stand();
    if (info.created === this.consumers.created) return;
    this.#stands(info);
    for (const reader of this.#readers.all()) reader.move(info.created);
  }

  #stands(info: StreamInfo): void {
    this.consumers.created = info.created;
    this.#run.madeIn = madeIn(info);
  }

  async #shared(pattern: string, group: string, start: Start): Promise<Reader> {
    if (!isWildcard(pattern) && this.#topology.isEphemeral(pattern)) throw noGroups(pattern);
    const consumer = consumerOf(pattern, group);
    const known = this.#topology.readers.get(consumer);
    if (known !== undefined) return known;
    let joining = this.#joining.get(consumer);
    if (joining === undefined) {
      joining = this.#join(pattern, group, start).finally(() => this.#joining.delete(consumer));
      this.#joining.set(consumer, joining);
    }
    return joining;
  }

  async #join(pattern: string, group: string, start: Start): Promise<Reader> {
    const reader = new Reader({ pattern, group, consumer: consumerOf(pattern, group) }, this.#readers.host);
    const wasThere = await this.consumers.join(reader, start);
    // So that no message has to wait for it.
    if (!isWildcard(pattern)) await this.#rivals.learn(reader);
    this.#readers.keep(reader);
    if (wasThere) this.#readers.recall(reader);
    reader.stands();
    return reader;
  }

  /** A listener of its own: it gets everything that is stored, and everything that is not. */
  async #listen(pattern: string, start: Start): Promise<Reader> {
    const wild = isWildcard(pattern);
    const isEphemeral = !wild && this.#topology.isEphemeral(pattern);
    const consumer = `listener-${randomBytes(12).toString("hex")}`;
    const reader = new Reader({ pattern, group: null, consumer }, this.#readers.host, !isEphemeral);
    try {
      if (wild || isEphemeral)
        this.#live.set(reader, await hearLive(this.session, pattern, (envelope) => reader.hear(envelope)));
      if (!isEphemeral) await this.consumers.listen(reader, start);
    } catch (error) {
      this.#deafen(reader);
      throw error;
    }
    this.#readers.keep(reader);
    reader.stands();
    return reader;
  }

  #deafen(reader: Reader): void {
    this.#live.get(reader)?.unsubscribe();
    this.#live.delete(reader);
  }

  async #left(subscription: NatsSubscription): Promise<void> {
    const { reader } = subscription;
    reader.members.delete(subscription);
    this.#subscriptions.delete(subscription);
    if (reader.members.size > 0) return;
    if (reader.group !== null) {
      await reader.giveBack();
      return;
    }
    this.#dropped += reader.dropped;
    reader.drop();
    this.#readers.forget(reader);
    this.#deafen(reader);
    if (reader.isStored && this.session.link.isUp) await this.consumers.remove(reader).catch(() => {});
  }
}

function noGroups(channel: string): HeraldError {
  const message = `Channel '${channel}' goes over core NATS, which keeps nothing for a group: subscribe with group null, or take it out of the option ephemeral.`;
  return new HeraldError("UNSUPPORTED", message, { details: { field: "group", channel } });
}

function noOrder(): HeraldError {
  const message =
    "JetStream keeps no order per key among several consumers: subscribe without ordering 'strict', or use a broker that does.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "ordering" } });
}
