import type { Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { Deadlines, type Deadline } from "../../core/deadlines.ts";
import { isWildcard } from "../../core/pattern.ts";
import type { MemorySubscription } from "../memory/subscription.ts";
import { Timers } from "../shared/timers.ts";
import { Catalog } from "./catalog.ts";
import { Channels, type Home } from "./channels.ts";
import type { Cluster } from "./cluster.ts";
import { Committer } from "./committer.ts";
import { Consumers } from "./consumers.ts";
import { Directory } from "./directory.ts";
import { closedError } from "./errors.ts";
import { Fetcher } from "./fetcher.ts";
import { Listeners } from "./listeners.ts";
import { channelConfig } from "./topics.ts";
import type { Fetched } from "./fetched.ts";
import { channelOf, inboxTopic } from "./names.ts";
import { offsetsAt } from "./offsets.ts";
import { SharedLog, type LogParts } from "./shared-log.ts";
import { Places } from "./places.ts";
import { Producer } from "./producer.ts";
import { Publisher } from "./publisher.ts";
import type { Held } from "./report.ts";
import { startOf, startsOf } from "./start-from.ts";
import { Transactor } from "./transactor.ts";

/** Places that have not changed are written again this often: Kafka forgets what nobody writes for a week. */
const RENEW_MS = 3_600_000;

/** Everything that an open broker has in this process. */
export class Runtime {
  readonly cluster: Cluster;
  readonly directory: Directory;
  readonly channels: Channels;
  readonly committer: Committer;
  readonly places: Places;
  readonly publisher: Publisher;
  readonly #producer: Producer;
  readonly #fetcher: Fetcher;
  readonly #timers: Timers;
  readonly #waits: Deadlines<MemorySubscription>;
  readonly #consumers: Consumers;
  readonly #listeners: Listeners;
  readonly #logs = new Set<SharedLog>();
  #renewal: { cancel(): void } | undefined;
  #closed = false;

  /** `isHandled`: has an id taken effect, as far as the inbox knows when it is asked? */
  constructor(cluster: Cluster, isHandled: (scope: string, id: string) => Promise<boolean>) {
    this.cluster = cluster;
    this.#timers = new Timers(cluster.clock);
    this.#waits = new Deadlines(cluster.clock, (subscription) => subscription.giveUp());
    this.#producer = new Producer(cluster);
    this.#fetcher = new Fetcher(cluster);
    this.directory = new Directory(this.#logParts);
    this.channels = new Channels(cluster, this.directory);
    this.#producer.onMissing = (topic) => {
      if (topic !== this.directory.topic) void this.channels.repair(topic);
    };
    this.committer = new Committer(cluster);
    this.places = new Places(cluster);
    this.publisher = new Publisher(cluster, this.channels, this.#producer);
    const transactor = new Transactor({
      cluster,
      publisher: this.publisher,
      isHandled: async (scope, id) => {
        if (this.#logs.size === 0) await isHandled(scope, id);
        await Promise.all([...this.#logs].map((log) => log.settled()));
        return isHandled(scope, id);
      },
    });
    const catalog = new Catalog(this, this.#timers);
    const startWait = (subscription: MemorySubscription, waitMs: number) =>
      waitMs === Infinity ? undefined : this.#waits.add(waitMs, subscription);
    const endWait = (deadline: Deadline<MemorySubscription>): void => this.#waits.cancel(deadline);
    this.#consumers = new Consumers({
      catalog,
      committer: this.committer,
      places: this.places,
      fetcher: this.#fetcher,
      timers: this.#timers,
      startWait,
      endWait,
      commit: (unit, commit) => transactor.commit(unit, commit),
    });
    this.#listeners = new Listeners(catalog, {
      timers: this.#timers,
      startWait,
      endWait,
      read: (reader) => this.#fetcher.add(reader),
      unread: (reader) => this.#fetcher.remove(reader),
      hungry: (reader) => this.#fetcher.wake(reader),
      isErased: (channel, partition, offset) => this.directory.isErased(channel, partition, offset),
      dedupeWindowMs: cluster.settings.dedupeWindowMs,
      closed: () => (this.#closed ? closedError() : undefined),
    });
    this.directory.onChannel = catalog.onFound = (channel) => this.#appeared(channel);
    this.directory.onGone = (channel) => this.#gone(channel);
    this.directory.onGroupGone = (pattern, group) => this.#consumers.dropped(pattern, group);
  }

  async start(): Promise<void> {
    await this.directory.open();
    this.#renewLater();
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const start = startOf(spec.from);
    const { pattern, group } = spec;
    if (isWildcard(pattern)) await this.#discover();
    if (group === null) return this.#listeners.add(spec, start);
    // So that its first message need not wait for its topic.
    if (!isWildcard(pattern)) await this.channels.ensure(pattern);
    if (!this.directory.groups.has(`${pattern} ${group}`)) {
      const starts = await startsOf(this, pattern, start);
      await this.directory.addGroup({ pattern, group, starts });
    }
    await this.#consumers.joined();
    if (this.#closed) throw closedError();
    return this.#consumers.add(group, spec);
  }

  /** A log of handled ids; resolves once everything is known that was written within a time before. */
  async openInbox(horizonMs: number, onRecord: (record: Fetched) => void): Promise<SharedLog> {
    const { cluster } = this;
    const { namespace, retentionMs, maxBodyBytes } = cluster.settings;
    const log = new SharedLog(this.#logParts, inboxTopic(namespace), onRecord);
    // A message that is gone does not come again: its id need not be known for longer.
    await log.make(channelConfig(retentionMs, maxBodyBytes));
    const from = await offsetsAt(cluster, log.topic, Math.max(0, cluster.clock.now() - horizonMs));
    if (this.#closed) throw closedError();
    this.#logs.add(log);
    await log.read(from.get(0) ?? 0);
    return log;
  }

  get #logParts(): LogParts {
    return { cluster: this.cluster, fetcher: this.#fetcher, producer: this.#producer };
  }

  /** Names of all channels, those of topics that another tool has made among them. */
  async names(): Promise<readonly string[]> {
    await this.#discover();
    return [...this.directory.channels.keys()].toSorted();
  }

  /** What a group has of a channel that shares its topic, when this process handles it. */
  held(group: string, home: Home): Held | undefined {
    const [partition] = this.channels.partitionsOf(home);
    return partition === undefined ? undefined : this.#consumers.held(group, home, partition);
  }

  /** Ends everything; what is unsettled is left for others. */
  async stop(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.close();
    await this.#consumers.close();
    await this.#producer.drainedWithin(this.cluster.settings.requestTimeoutMs);
    this.#producer.close(closedError());
    this.directory.close(closedError());
    for (const log of this.#logs) log.close(closedError());
    this.#fetcher.close();
    this.#waits.clear();
    this.#timers.clear();
    this.#renewal?.cancel();
    await this.cluster.close();
  }

  /** Channels that another tool has made are made known. */
  async #discover(): Promise<void> {
    const { namespace } = this.cluster.settings;
    const topics = await this.cluster.list(`${namespace}.`);
    const names = topics.flatMap((topic) => channelOf(namespace, topic) ?? []);
    const unknown = names.filter((name) => !this.directory.channels.has(name));
    await Promise.all(unknown.map((name) => this.channels.ensure(name)));
  }

  /** A channel is there, or its entry is another now. */
  #appeared(channel: string): void {
    this.#consumers.appeared(channel);
    this.#listeners.appeared(channel);
  }

  #gone(channel: string): void {
    this.#consumers.gone(channel);
    this.#listeners.gone(channel);
    this.channels.doubt(channel);
  }

  #renewLater(): void {
    this.#renewal = this.cluster.clock.setTimer(RENEW_MS, () => {
      this.#consumers.renew();
      this.#renewLater();
    });
  }
}
