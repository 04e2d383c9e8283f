import type { RedisQueueBackend } from "bullmq";
import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { systemClock, type TimerHandle } from "../../core/clock.ts";
import { Deadlines } from "../../core/deadlines.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { isWildcard } from "../../core/pattern.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import { BullMQAdmin } from "./admin.ts";
import { capabilitiesOf, checkSubscribable } from "./abilities.ts";
import { Connection } from "./connection.ts";
import { judgeDurability } from "./durability.ts";
import { emit } from "../../core/events.ts";
import { closed, commandError, forgotten, unknownPublish } from "./errors.ts";
import { BullMQHandledIds } from "./handled-ids.ts";
import { Line, type LineHost, type Waiter } from "./line.ts";
import { broadcastQueue, groupQueue, retainedQueue } from "./names.ts";
import { bullmqSettings, type BullMQBrokerOptions, type BullMQSettings } from "./options.ts";
import { Publishing, type PublishHost } from "./publish.ts";
import { Registry, type Registered } from "./registry.ts";
import { report } from "./report.ts";
import { Signals } from "./signals.ts";
import { BullMQSubscription, type SubscriptionHost } from "./subscription.ts";

export type { BullMQBrokerOptions } from "./options.ts";

/** Events of a queue that BullMQ keeps for its own listeners; its default of 10,000 a queue is memory that nobody reads. */
const EVENTS_KEPT = 1000;

/**
 * Messages as ordinary BullMQ jobs: one queue for each group of a pattern, which Bull Board and other BullMQ programs see.
 * Durability is read from the server. No replay and no order per key; a group gets what is published once it exists.
 */
export class BullMQBroker implements Broker {
  readonly name = "bullmq";
  readonly admin: BrokerAdmin;
  readonly #admin: BullMQAdmin;
  readonly #settings: BullMQSettings;
  readonly #lines = new Map<string, Line>();
  readonly #queues = new Map<string, RedisQueueBackend>();
  readonly #waits: Deadlines<Waiter>;
  readonly #due: Deadlines<Line>;
  readonly #lineHost: LineHost;
  readonly #subscriptionHost: SubscriptionHost;
  readonly #publishHost: PublishHost;
  readonly #timers: TimerHandle[] = [];
  #state: "new" | "opening" | "open" | "closed" = "new";
  #connection: Connection | undefined;
  #registry: Registry | undefined;
  #signals: Signals | undefined;
  #tokens = 0;

  /** Throws `INVALID_ARGUMENT` naming the option. Connects to nothing. */
  constructor(options: BullMQBrokerOptions = {}) {
    const settings = bullmqSettings(options);
    this.#settings = settings;
    this.#waits = new Deadlines(systemClock, (waiter) => waiter.wake());
    this.#due = new Deadlines(systemClock, (line) => line.wakeDue());
    const id = createId();
    this.#lineHost = {
      leaseMs: settings.leaseMs,
      keepCompleted: settings.keepCompleted,
      token: () => `${id}:${++this.#tokens}`,
      wakeAt: (line, dueAt) => void this.#due.add(dueAt - Date.now(), line),
    };
    this.#subscriptionHost = {
      startWait: (subscription, waitMs) => this.#waits.add(waitMs, subscription),
      endWait: (deadline) => this.#waits.cancel(deadline),
      returned: (line, dueAt) => this.#signals?.tell(new Map([[line.registered.queue, dueAt]])),
      left: (subscription) => this.#left(subscription),
      closed: () => (this.#state === "closed" ? closed() : undefined),
      monotonic: () => systemClock.monotonic(),
      pause: (ms) => new Promise((resolve) => void systemClock.setTimer(ms, resolve)),
    };
    // Getters, so that whatever is done before open() or after close() is CLOSED.
    const open = (): { readonly connection: Connection; readonly registry: Registry } => this.#open;
    this.#publishHost = {
      get redis() {
        return open().connection.redis;
      },
      get registry() {
        return open().registry;
      },
      settings,
      queue: (name) => this.#queue(name),
      discard: (queue) => this.#obliterate(queue),
    };
    this.#admin = new BullMQAdmin({
      get redis() {
        return open().connection.redis;
      },
      get registry() {
        return open().registry;
      },
      queue: (name) => this.#queue(name),
      obliterate: (queue) => this.#obliterate(queue),
    });
    this.admin = this.#admin;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closed();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This BullMQ broker is open already.");
    this.#state = "opening";
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(this.#settings, signal);
      const durability = await judgeDurability(connection.redis, this.#settings);
      await this.#begin(connection);
      return capabilitiesOf(durability, this.#settings);
    } catch (error) {
      this.#state = "new";
      await connection?.close();
      throw commandError(error);
    }
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    if (this.#state !== "open") throw closed();
    const publishing = new Publishing(this.#publishHost, options.dedupe === true);
    const results = await this.#within(publishing.publish(envelopes), () =>
      envelopes.map((): PublishResult => ({ ok: false, error: unknownPublish() })),
    );
    this.#signals?.tell(publishing.due);
    return results;
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const { registry } = this.#open;
    checkSubscribable(spec);
    const { pattern, group, prefetch } = spec;
    const queue = group === null ? broadcastQueue(pattern, createId()) : groupQueue(pattern, group);
    const registered: Registered = { queue, pattern, group, isAlive: true };
    const line = this.#lines.get(queue) ?? new Line(registered, this.#queue(queue), this.#lineHost);
    const subscription = new BullMQSubscription(line, prefetch, this.#subscriptionHost);
    this.#lines.set(queue, line);
    line.members.add(subscription);
    try {
      await this.#register(registry, registered);
      return subscription;
    } catch (error) {
      line.members.delete(subscription);
      if (line.members.size === 0) this.#lines.delete(queue);
      throw this.#state === "open" ? commandError(error) : closed();
    }
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    const down: BrokerReport = { state: "down", channels: [], dropped: 0 };
    if (this.#state !== "open") return down;
    try {
      return await this.#within(report(this.#publishHost, query.channels), () => down);
    } catch (error) {
      const { code } = commandError(error);
      if (code === "NOT_CONNECTED" || code === "CLOSED") return down;
      throw commandError(error);
    }
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    const members = [...this.#lines.values()].flatMap((line) => [...line.members] as BullMQSubscription[]);
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    for (const timer of this.#timers) timer.cancel();
    this.#signals?.stop();
    if (wasOpen) await this.#within(Promise.allSettled(members.map((member) => member.close())), () => []);
    this.#waits.clear();
    this.#due.clear();
    await this.#connection?.close();
  }

  createInbox(options: InboxOptions = {}): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(new BullMQHandledIds(() => this.#open.connection, horizonMs), maxIds);
  }

  /** The names of the BullMQ queues there are: what Bull Board is to be given. */
  async queueNames(): Promise<readonly string[]> {
    const { registry } = this.#open;
    await registry.refresh();
    const groups = registry.queues.map(({ queue }) => queue);
    return [...groups, ...[...registry.retained.keys()].map((channel) => retainedQueue(channel))];
  }

  async #begin(connection: Connection): Promise<void> {
    const { pollMs, stalledCheckMs, broadcastGraceMs } = this.#settings;
    this.#connection = connection;
    this.#registry = new Registry(connection, broadcastGraceMs, () => this.#reset());
    this.#signals = new Signals(connection, this.#lines, { clock: systemClock, pollMs });
    await this.#registry.refresh();
    await this.#signals.start();
    this.#state = "open";
    // Who subscribes here is to be known again before others publish.
    connection.redis.on("ready", () => void this.#renew().catch(() => undefined));
    this.#every(stalledCheckMs, async () => this.#signals?.recover());
    this.#every(broadcastGraceMs / 4, () => this.#renew());
  }

  get #open(): { readonly connection: Connection; readonly registry: Registry } {
    if (this.#state !== "open" || this.#connection === undefined || this.#registry === undefined)
      throw closed();
    return { connection: this.#connection, registry: this.#registry };
  }

  #queue(name: string): RedisQueueBackend {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const made = this.#connection?.queue(name);
    if (made === undefined) throw closed();
    this.#queues.set(name, made);
    return made;
  }

  async #register(registry: Registry, registered: Registered): Promise<void> {
    const { queue, pattern } = registered;
    await Promise.all([
      this.#open.connection.redis.hSet(this.#queue(queue).toKey("meta"), "opts.maxLenEvents", EVENTS_KEPT),
      isWildcard(pattern) ? undefined : registry.know([pattern]),
    ]);
    await this.#sweep(await registry.renew([registered]));
  }

  async #renew(): Promise<void> {
    const { registry } = this.#open;
    await this.#sweep(await registry.renew([...this.#lines.values()].map(({ registered }) => registered)));
    await registry.refresh();
    for (const channel of registry.retained.keys()) await this.#admin.expire(channel);
    const known = new Set(registry.queues.map(({ queue }) => queue));
    for (const name of this.#queues.keys())
      if (!known.has(name) && !this.#lines.has(name)) this.#queues.delete(name);
  }

  /** Redis came back without what it knew: who subscribes here is told, and registered again before anything is routed. */
  async #reset(): Promise<void> {
    const registered = [...this.#lines.values()].map((line) => line.registered);
    for (const { pattern, group } of registered)
      emit("dataLost", () => ({
        broker: this.name,
        channel: pattern,
        group,
        count: null,
        error: forgotten(),
      }));
    await this.#registry?.renew(registered);
  }

  async #sweep(gone: readonly string[]): Promise<void> {
    for (const queue of gone) await this.#obliterate(queue);
  }

  async #left(subscription: BullMQSubscription): Promise<void> {
    const { line } = subscription;
    line.members.delete(subscription);
    if (line.members.size > 0) {
      line.wake();
      return;
    }
    const { registered } = line;
    this.#lines.delete(registered.queue);
    try {
      await this.#registry?.leave(registered);
      if (registered.group === null) await this.#obliterate(registered.queue);
    } catch {
      // Nobody renews it from now on: it is forgotten by itself.
    }
  }

  /** BullMQ takes only a paused queue apart. */
  async #obliterate(queue: string): Promise<void> {
    const backend = this.#queue(queue);
    await backend.pause(true);
    while ((await backend.obliterate({ force: true, count: 1000 })) > 0);
    if (!this.#lines.has(queue)) this.#queues.delete(queue);
  }

  async #within<T>(task: Promise<T>, late: () => T): Promise<T> {
    let timer: TimerHandle | undefined;
    const timeout = new Promise<T>((resolve) => {
      timer = systemClock.setTimer(this.#settings.timeoutMs, () => resolve(late()));
    });
    try {
      return await Promise.race([task, timeout]);
    } finally {
      timer?.cancel();
    }
  }

  /** Runs a task again and again, a pause after each; what fails is tried the next time. */
  #every(pauseMs: number, task: () => Promise<unknown>): void {
    const slot = this.#timers.length;
    const arm = (): void => {
      if (this.#state !== "open") return;
      this.#timers[slot] = systemClock.setTimer(pauseMs, () => {
        void task()
          .catch(() => undefined)
          .then(arm);
      });
    };
    this.#timers.push({ cancel: () => undefined });
    arm();
  }
}
