import type { Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { Deadlines } from "../../core/deadlines.ts";
import { HeraldError } from "../../core/errors.ts";
import { isWildcard, matchPattern } from "../../core/pattern.ts";
import { BroadcastSubscription } from "./broadcast.ts";
import { ChannelGroup } from "./channel-group.ts";
import { envelopeOfFields } from "./codec.ts";
import { Commits } from "./commits.ts";
import { closedError } from "./errors.ts";
import { Keys } from "./keys.ts";
import type { RedisSettings } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Registry } from "./registry.ts";
import { EXTEND, LEAVE, READ, SETTLE } from "./scripts-consume.ts";
import { APPEND, ENSURE, JOIN, PUBLISH } from "./scripts-publish.ts";
import { SWEEP } from "./scripts-sweep.ts";
import type { Session } from "./session.ts";
import { Settler } from "./settler.ts";
import type { Links } from "./shared-links.ts";
import { startOf } from "./start-from.ts";
import { RedisSubscription, type SubscriptionHost } from "./subscription.ts";
import { Sweeper } from "./sweeper.ts";
import { Topology, type Channel } from "./topology.ts";
import { Wakes, type Wake } from "./wakes.ts";

/** Loaded at once, so that none overtakes what was sent before it because a server had to be told its text. */
const SCRIPTS = [ENSURE, JOIN, APPEND, PUBLISH, READ, SETTLE, EXTEND, LEAVE, SWEEP];

/** Everything of a Redis broker while it is open: the parts, and who tells whom. */
export class Runtime {
  readonly session: Session;
  readonly registry: Registry;
  readonly publisher: Publisher;
  readonly #links: Links;
  readonly #topology: Topology;
  readonly #wakes: Wakes;
  readonly #sweeper: Sweeper;
  readonly #host: SubscriptionHost;
  readonly #waits: Deadlines<RedisSubscription>;
  /** Groups in which this process may be known as a consumer. */
  readonly #joined = new Set<ChannelGroup>();
  readonly #live = new Map<
    BroadcastSubscription,
    { readonly channel: string; readonly listener: (message: string) => void }
  >();
  #dropped = 0;
  #offUp: (() => void)[] = [];
  #closed = false;

  constructor(settings: RedisSettings, links: Links, consumer: string) {
    const keys = new Keys(settings.namespace);
    const { commands } = links;
    this.#links = links;
    this.#topology = new Topology(settings.ephemeral, (channel) => keys.base(channel));
    this.#wakes = new Wakes(commands, keys, consumer, (wake) => this.#heard(wake));
    const wakes = this.#wakes;
    this.session = {
      keys,
      clock: settings.clock,
      consumer,
      leaseMs: settings.leaseMs,
      get isUp() {
        return commands.isUp;
      },
      send: (key, args) => commands.send(key, args),
      run: (script, key, args) => commands.run(script, key, args),
      listen: (channel, listener) => listenOver(links, channel, listener),
      announce: (channel, lane) => wakes.tell({ kind: "w", channel, lane }),
      announceReady: (channel, group) => wakes.tell({ kind: "r", channel, group }),
      restore: async (channel) => {
        this.#topology.channels.get(channel)?.doubt();
        await this.registry.add(channel);
      },
    };
    const { session } = this;
    const topology = this.#topology;
    this.registry = new Registry(session, topology);
    this.registry.onNew = (channel) => this.#announceNew(channel);
    this.publisher = new Publisher({ session, topology, registry: this.registry, wakes, settings });
    this.#sweeper = new Sweeper({
      session,
      topology,
      registry: this.registry,
      settings,
      onChannel: (name) => this.#appeared(name),
    });
    this.#waits = new Deadlines(settings.clock, (subscription) => subscription.giveUp());
    const isClosed = (): boolean => this.#closed;
    const sweeper = this.#sweeper;
    const settler = new Settler(session, {
      get isClosed() {
        return isClosed();
      },
      due: (group, delayMs) => sweeper.due(group, delayMs),
    });
    const commits = new Commits({ session, publisher: this.publisher, settler });
    this.#host = {
      waits: this.#waits,
      settler,
      commit: settings.cluster === undefined ? (what, by) => commits.commit(what, by) : undefined,
      get isUp() {
        return commands.isUp;
      },
      left: (subscription) => this.#left(subscription),
      closed: () => (this.#closed ? closedError() : undefined),
    };
  }

  /** Messages that a listener had no room for. */
  get dropped(): number {
    let dropped = this.#dropped;
    for (const broadcast of this.#topology.broadcasts) dropped += broadcast.dropped;
    return dropped;
  }

  async start(): Promise<void> {
    const { keys } = this.session;
    await Promise.all(SCRIPTS.map(({ text }) => this.session.send("", ["SCRIPT", "LOAD", text])));
    await this.#links.listener.subscribe(keys.wake, this.#wakes.listener);
    await this.session.send(keys.marker, ["SET", keys.marker, "1"]);
    // Whatever was told while a connection was away has not been heard.
    this.#offUp = [this.#links.commands, this.#links.listener].map((link) =>
      link.onUp(() => this.#wakeAll()),
    );
    this.#sweeper.start();
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const start = startOf(spec.from);
    const { group } = spec;
    return group === null ? this.#listen(spec, start) : this.#join(spec, group, start);
  }

  /** A channel was removed here. */
  removed(channel: string): void {
    this.#wakes.tell({ kind: "x", channel });
  }

  /** Gives back what is held, forgets this consumer, ends what waits. */
  async stop(): Promise<void> {
    if (this.#closed) return;
    const subscriptions = [...this.#topology.subscriptions];
    const broadcasts = [...this.#topology.broadcasts];
    this.#closed = true;
    for (const off of this.#offUp) off();
    this.#sweeper.stop();
    for (const subscription of subscriptions) await subscription.close();
    for (const broadcast of broadcasts) await broadcast.close();
    this.#waits.clear();
    this.#host.settler.stop();
    await this.#links.listener.unsubscribe(this.session.keys.wake, this.#wakes.listener).catch(() => {});
    if (this.session.isUp) await Promise.all([...this.#joined].map((group) => this.#leave(group)));
  }

  async #join(spec: SubscriptionSpec, group: string, start: string): Promise<Subscription> {
    const { pattern, prefetch } = spec;
    const wildcard = isWildcard(pattern);
    if (!wildcard && this.#topology.isEphemeral(pattern)) throw noGroups(pattern);
    const strict = spec.ordering === "strict";
    const subscription = new RedisSubscription({ pattern, group, strict, prefetch }, this.#host);
    this.#topology.addDurable(subscription);
    try {
      const attach = (name: string): Promise<void> =>
        this.#attach(subscription, this.#topology.channel(name), start);
      if (wildcard) {
        await this.registry.want(pattern, group);
        await Promise.all(this.#topology.covered(pattern, await this.registry.names()).map(attach));
      } else await Promise.all([this.registry.add(pattern), attach(pattern)]);
    } catch (error) {
      this.#topology.removeDurable(subscription);
      throw error;
    }
    return subscription;
  }

  async #attach(subscription: RedisSubscription, channel: Channel, start: string): Promise<void> {
    let group = channel.groups.get(subscription.group);
    if (group === undefined) {
      group = new ChannelGroup(this.session, channel.name, subscription.group);
      channel.groups.set(subscription.group, group);
    }
    await group.join(start);
    this.#joined.add(group);
    channel.known.add(subscription.group);
    if (subscription.isClosed) return;
    subscription.attach(group);
    // What is due on this channel is known to nobody here yet.
    this.#sweeper.due(group, 0);
  }

  async #listen(spec: SubscriptionSpec, start: string): Promise<Subscription> {
    const { pattern, prefetch } = spec;
    const { listener } = this.#links;
    const broadcast = new BroadcastSubscription(
      { pattern, prefetch, strict: spec.ordering === "strict" },
      {
        session: this.session,
        left: (one) => this.#stopped(one),
        closed: () => (this.#closed ? closedError() : undefined),
      },
    );
    this.#topology.addBroadcast(broadcast);
    try {
      const isStored = isWildcard(pattern) || !this.#topology.isEphemeral(pattern);
      if (!isStored || isWildcard(pattern)) {
        const channel = this.session.keys.ephemeral(pattern.replace(/\.?#$/, "*"));
        const hear = (message: string): void => this.#hear(broadcast, message);
        this.#live.set(broadcast, { channel, listener: hear });
        await listener.subscribe(channel, hear);
      }
      if (isStored) {
        const names = isWildcard(pattern)
          ? this.#topology.covered(pattern, await this.registry.names())
          : [pattern];
        await Promise.all(names.map((name) => this.#tune(broadcast, name, start)));
      }
    } catch (error) {
      await broadcast.close();
      throw error;
    }
    return broadcast;
  }

  async #tune(broadcast: BroadcastSubscription, name: string, start: string): Promise<void> {
    this.#topology.channel(name).broadcasts.add(broadcast);
    await broadcast.attach(name, start);
  }

  #hear(broadcast: BroadcastSubscription, message: string): void {
    const [channel, fields] = JSON.parse(message) as [string, string[]];
    if (!matchPattern(broadcast.pattern, channel)) return;
    broadcast.hear(envelopeOfFields(channel, `${Date.now()}-0`, fields));
  }

  #heard(wake: Wake): void {
    if (wake.kind === "x") {
      this.#topology.forget(wake.channel);
      return;
    }
    const channel = this.#topology.channels.get(wake.channel);
    if (wake.kind === "c" || channel === undefined) {
      this.#appeared(wake.channel);
      return;
    }
    if (wake.kind === "r") channel.groups.get(wake.group)?.wake({ ready: true });
    else if (wake.kind === "d")
      for (const group of channel.groups.values()) this.#sweeper.due(group, wake.delayMs);
    else {
      for (const group of channel.groups.values()) group.wake({ lane: wake.lane });
      for (const broadcast of channel.broadcasts) broadcast.wake(wake.channel, wake.lane);
    }
  }

  #announceNew(channel: string): void {
    this.#wakes.tell({ kind: "c", channel });
  }

  /** A channel may be new to subscriptions here. */
  #appeared(name: string): void {
    for (const subscription of this.#topology.durableOn(name)) {
      if (subscription.groups.has(name)) continue;
      this.#attach(subscription, this.#topology.channel(name), "0").catch(() => {});
    }
    for (const broadcast of this.#topology.broadcastOn(name)) {
      const channel = this.#topology.channel(name);
      if (!channel.broadcasts.has(broadcast)) this.#tune(broadcast, name, "0-0").catch(() => {});
    }
  }

  #wakeAll(): void {
    for (const channel of this.#topology.channels.values()) {
      for (const group of channel.groups.values()) group.wake({ ready: true });
      for (const broadcast of channel.broadcasts) broadcast.wake(channel.name);
    }
  }

  #left(subscription: RedisSubscription): void {
    this.#topology.removeDurable(subscription);
    for (const group of subscription.groups.values()) {
      group.members.delete(subscription);
      // Others of the group may wait for what this one was about to take.
      if (group.dirty) group.wake();
      if (group.members.size > 0 || group.unsettled > 0 || group.isReading || this.#closed) continue;
      this.#topology.channels.get(group.channel)?.groups.delete(group.group);
      void this.#leave(group);
    }
  }

  #stopped(broadcast: BroadcastSubscription): void {
    this.#dropped += broadcast.dropped;
    this.#topology.removeBroadcast(broadcast);
    const live = this.#live.get(broadcast);
    this.#live.delete(broadcast);
    if (live !== undefined) this.#links.listener.unsubscribe(live.channel, live.listener).catch(() => {});
  }

  /** A connection that breaks here leaves the rest to the lease. */
  async #leave(group: ChannelGroup): Promise<void> {
    this.#joined.delete(group);
    try {
      await this.session.run(LEAVE, group.base, [group.group, this.session.consumer]);
    } catch {
      return;
    }
    this.session.announceReady(group.channel, group.group);
  }
}

/** What cannot be listened to now is listened to when a connection stands again. */
function listenOver(
  { listener: link }: Links,
  channel: string,
  listener: (message: string) => void,
): () => void {
  link.subscribe(channel, listener).catch(() => {});
  return () => void link.unsubscribe(channel, listener).catch(() => {});
}

function noGroups(channel: string): HeraldError {
  const message = `Channel '${channel}' goes over plain pub/sub, which knows no groups: subscribe with group null, or take it out of the option ephemeral.`;
  return new HeraldError("UNSUPPORTED", message, { details: { field: "group", channel } });
}
