import { randomBytes } from "node:crypto";
import type { ChannelReport, Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { isWildcard } from "../../core/pattern.ts";
import { Timers } from "../shared/timers.ts";
import { Consumers } from "./consumers.ts";
import { closedError, rabbitError } from "./errors.ts";
import { Hands } from "./hands.ts";
import { Log, type Handled } from "./log.ts";
import { Names } from "./names.ts";
import type { RabbitSettings } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Reader, type ReaderHost } from "./reader.ts";
import { Registry } from "./registry.ts";
import { Retained } from "./retained.ts";
import { Returns } from "./returns.ts";
import type { Links, Session } from "./session.ts";
import { Standing } from "./standing.ts";
import { RabbitSubscription, type SubscriptionHost } from "./subscription.ts";
import { Topology } from "./topology.ts";
import { Writer } from "./writer.ts";

/** How long the word that a group was dropped may be behind the end of its queue. */
const DROPPED_MS = 100;

/** What was told of a loss so long ago is of no interest to who begins now. */
const HEARD_MS = 60_000;
/** How long it takes a process that is connected to tell what it had in hand. */
const TELLING_MS = 150;

/** Everything behind an open broker. */
export class Runtime {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly topology: Topology;
  readonly registry: Registry;
  readonly retained: Retained;
  readonly #writer: Writer;
  readonly #standing: Standing;
  readonly #consumers: Consumers;
  readonly #readerHost: ReaderHost;
  readonly #subscriptionHost: SubscriptionHost;
  /** By their queue. */
  readonly #readers = new Map<string, Reader>();
  readonly #subscriptions = new Set<RabbitSubscription>();
  /** Queues of groups in the making. */
  readonly #making = new Map<string, Promise<void>>();
  readonly #parts: { readonly session: Session; readonly writer: Writer; readonly id: string };
  readonly #hands: Hands;
  readonly #inboxes = new Set<Log<Handled>>();
  #closed = false;

  constructor(settings: RabbitSettings, links: Links) {
    const { clock } = settings;
    const session = sessionOf(settings, links, () => this.#closed);
    this.session = session;
    this.topology = new Topology(session);
    this.#writer = new Writer(session);
    const parts = { session, writer: this.#writer, id: randomBytes(9).toString("hex") };
    const hands = new Hands(clock);
    this.#hands = hands;
    this.registry = new Registry(parts, {
      dropped: (pattern, group) => this.#drop(session.names.group(pattern, group)),
      held: (hand, at) => {
        if (at > clock.now() - HEARD_MS) hands.hear(hand);
      },
    });
    this.retained = new Retained(session, this.#writer, this.registry);
    this.#parts = parts;
    this.#standing = new Standing({ session, registry: this.registry, topology: this.topology });
    this.publisher = new Publisher({
      session,
      writer: this.#writer,
      topology: this.topology,
      standing: this.#standing,
    });
    const returns = new Returns(session, this.#writer, this.topology);
    const consumers = new Consumers(session, {
      restore: (readers) => this.#restore(readers),
      lost: () => returns.cutOff(),
    });
    this.#consumers = consumers;
    const give: SubscriptionHost["give"] = (delivery, how) => returns.give(delivery, how);
    this.#readerHost = {
      clock,
      timers: session.timers,
      get channel() {
        return consumers.channel;
      },
      consume: (queue, options, listener) => consumers.consume(queue, options, listener),
      narrow: (consumer) => consumers.narrow(consumer),
      ack: (consumer, message) => consumers.ack(consumer, message),
      end: (consumer) => consumers.end(consumer),
      give,
      hands,
      isRivals: ({ group, pattern }, channel) =>
        group !== null && this.registry.isRivals(group, pattern, channel),
      repair: (reader) => this.#repair(reader),
      idle: (reader) => this.#forget(reader),
    };
    this.#subscriptionHost = {
      timers: session.timers,
      now: () => clock.now(),
      give,
      carriedOut: (channel) => consumers.carriedOut(channel),
      left: (subscription) => this.#subscriptions.delete(subscription),
      closed: () => (this.#closed ? closedError() : undefined),
    };
  }

  async start(): Promise<void> {
    await this.topology.base();
    await Promise.all([this.#writer.open(), this.registry.open(), this.#consumers.open()]);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (spec.ordering === "strict") throw noOrder();
    if (spec.from !== undefined && spec.from !== "new") throw noReplay();
    const { group, pattern, prefetch } = spec;
    const { names } = this.session;
    const queue =
      group === null ? names.listener(randomBytes(12).toString("hex")) : names.group(pattern, group);
    if (group === null) await this.topology.listener(queue, pattern);
    else await this.#join(queue, pattern, group);
    if (this.#closed) throw closedError();
    let reader = this.#readers.get(queue);
    if (reader === undefined) {
      reader = new Reader({ pattern, group, queue }, this.#readerHost);
      this.#readers.set(queue, reader);
      this.#consumers.add(reader);
    }
    const subscription = new RabbitSubscription(reader, prefetch, this.#subscriptionHost);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** The log of the handled ids. */
  async openInbox(horizonMs: number, read: (entry: Handled) => void): Promise<Log<Handled>> {
    const stream = this.session.names.inbox(Math.max(1, Math.ceil(horizonMs / 1000)));
    // Whole segments go, and never one that holds something younger.
    await this.topology.stream(stream, horizonMs);
    const log = new Log<Handled>({ ...this.#parts, stream }, read);
    this.#inboxes.add(log);
    await log.open();
    return log;
  }

  /** How the channels stand that some group reads by name, or that are retained. */
  report(channels: readonly string[] | undefined): readonly ChannelReport[] {
    const found = new Map<string, string[]>();
    for (const channel of this.registry.declared) found.set(channel, []);
    for (const [pattern, group] of this.registry.readers()) {
      if (isWildcard(pattern)) continue;
      const groups = found.get(pattern);
      if (groups === undefined) found.set(pattern, [group]);
      else groups.push(group);
    }
    // A queue tells how many messages are ready, and of those that are out or wait for their time it tells nothing.
    return [...found]
      .filter(([channel]) => channels === undefined || channels.includes(channel))
      .map(([channel, groups]) => ({
        channel,
        depth: null,
        groups: groups.map((group) => ({ group, lag: null, unsettled: null })),
      }));
  }

  /** Gives back what was never handed out, ends what waits. */
  async stop(): Promise<void> {
    if (this.#closed) return;
    const { timers, settings } = this.session;
    // While the broker is not closed yet, what was not handed out is given back.
    const closing = Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
    const enough = timers.pause(settings.commandTimeoutMs);
    await Promise.race([closing, enough.over]);
    enough.cut();
    this.#closed = true;
    this.#standing.close();
    const lanes = Promise.all([
      this.#consumers.close(),
      this.registry.close(),
      ...[...this.#inboxes].map((log) => log.close()),
      this.topology.close(),
      this.#writer.close(),
    ]);
    const longEnough = timers.pause(settings.commandTimeoutMs);
    await Promise.race([lanes, longEnough.over]);
    longEnough.cut();
    timers.clear();
  }

  async #join(queue: string, pattern: string, group: string): Promise<void> {
    if (this.#readers.has(queue)) return;
    let making = this.#making.get(queue);
    if (making === undefined) {
      making = (async () => {
        await this.topology.group(queue, pattern);
        // The queue is there before anybody leaves messages to it.
        await this.registry.reads(pattern, group);
      })().finally(() => this.#making.delete(queue));
      this.#making.set(queue, making);
    }
    try {
      await making;
    } catch (error) {
      throw rabbitError(error);
    }
  }

  /** Its queue is gone: by somebody who dropped the group, which is told too, or by another hand. */
  async #repair(reader: Reader): Promise<void> {
    await this.session.timers.pause(DROPPED_MS).over;
    if (!reader.isGone) await this.#make(reader);
  }

  /** A group was dropped. */
  #drop(queue: string): void {
    const reader = this.#readers.get(queue);
    if (reader === undefined) return;
    this.#forget(reader);
    reader.drop();
  }

  #make({ queue, pattern, group }: Reader): Promise<void> {
    return group === null ? this.topology.listener(queue, pattern) : this.topology.group(queue, pattern);
  }

  /** The server may have been started anew, without anything. */
  async #restore(readers: readonly Reader[]): Promise<void> {
    await this.topology.base();
    await Promise.all(readers.map((reader) => this.#make(reader)));
    const hand = this.#hands.mine();
    const { clock, links, timers, settings } = this.session;
    if (Object.keys(hand).length > 0) await this.registry.tell({ op: "held", at: clock.now(), hand });
    // The others come back too, each after a pause of its own.
    if (links.consuming.wasAway) await timers.pause(settings.maxReconnectMs + TELLING_MS).over;
  }

  #forget(reader: Reader): void {
    if (this.#readers.get(reader.queue) !== reader) return;
    this.#readers.delete(reader.queue);
    this.#consumers.remove(reader);
    if (reader.group === null && this.session.links.consuming.isUp)
      this.topology.remove(reader.queue).catch(() => {});
  }
}

function sessionOf(settings: RabbitSettings, links: Links, isClosed: () => boolean): Session {
  const { clock, namespace } = settings;
  return {
    links,
    names: new Names(namespace),
    settings,
    clock,
    timers: new Timers(clock),
    get isClosed() {
      return isClosed();
    },
  };
}

function noOrder(): HeraldError {
  const message =
    "RabbitMQ keeps no order per key among several consumers: subscribe without ordering 'strict', or use a broker that does.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "ordering" } });
}

function noReplay(): HeraldError {
  const message =
    "A queue of RabbitMQ keeps nothing that was acknowledged, and a new one begins empty: subscribe from 'new', or use a broker with replay.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "from" } });
}
