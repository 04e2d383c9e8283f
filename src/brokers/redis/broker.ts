import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type {
  Broker,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  StoredEnvelope,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { checkChannel } from "../../core/pattern.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions, Stores } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import { Lifecycle, type Ending, type Opened } from "../shared/lifecycle.ts";
import { RedisAdmin } from "./admin.ts";
import { judge, readDurability } from "./durability.ts";
import { redisError } from "./errors.ts";
import { RedisHandledIds } from "./handled-ids.ts";
import { redisSettings, type RedisBrokerOptions, type RedisSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import { acquireLinks } from "./shared-links.ts";
import { RedisStores } from "./stores.ts";

export type { RedisAddress, RedisBrokerOptions, RedisTlsOptions } from "./options.ts";

const MAX_BATCH = 10_000;

/**
 * Redis Streams: a stream a channel and priority, a consumer group a group, at most two connections a process to one server.
 * What it keeps is what the server keeps: `open()` reads it and reports it as it is.
 */
export class RedisBroker implements Broker {
  readonly name = "redis";
  readonly admin: RedisAdmin;
  readonly #life: Lifecycle<Runtime>;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: RedisBrokerOptions = {}) {
    const settings = redisSettings(options);
    this.#life = new Lifecycle({
      title: "Redis",
      named: redisError,
      start: (ending) => start(settings, ending),
    });
    this.admin = new RedisAdmin({
      session: () => this.#life.runtime.session,
      registry: () => this.#life.runtime.registry,
      removed: (channel) => this.#life.runtime.removed(channel),
    });
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#life.isClosed;
  }

  /** True while the connection for commands stands. */
  get isConnected(): boolean {
    return this.#life.isOpen && this.#life.runtime.session.isUp;
  }

  open(signal?: AbortSignal): Promise<Capabilities> {
    return this.#life.open(signal);
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    return this.#life.runtime.publisher.publish(envelopes, options);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const { runtime } = this.#life;
    checkSpec(spec);
    return this.#life.run(() => runtime.subscribe(spec));
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (!this.isConnected) return { state: "down", channels: [], dropped: 0 };
    return this.#life.run(async ({ registry, dropped }) => {
      const names = await registry.names();
      const asked = query.channels;
      const existing = asked === undefined ? names : asked.filter((name) => names.includes(name));
      const channels = await Promise.all(existing.map((name) => this.admin.report(name)));
      return { state: "up", channels, dropped };
    });
  }

  /** The latest envelopes that a channel retains, newest first; 100 unless said otherwise. */
  async history(channel: string, count = 100): Promise<readonly StoredEnvelope[]> {
    checkChannel(channel);
    return count > 0 ? this.admin.history(channel, count) : [];
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(new RedisHandledIds(() => this.#life.runtime.session, horizonMs), maxIds);
  }

  /** Usable while the broker is open; before and after they reject with `CLOSED`. */
  createStores(): Stores {
    return new RedisStores(() => this.#life.runtime.session);
  }

  close(): Promise<void> {
    return this.#life.close();
  }
}

async function start(settings: RedisSettings, ending: Ending): Promise<Opened<Runtime>> {
  const { links, release } = await acquireLinks(settings);
  ending(release);
  const kept = await readDurability(links.commands);
  judge(kept, settings);
  const consumer = `${hostname()}-${process.pid}-${randomBytes(4).toString("hex")}`;
  const runtime = new Runtime(settings, links, consumer);
  ending(() => runtime.stop());
  await runtime.start();
  return { runtime, capabilities: capabilities(kept.durability, settings.maxBodyBytes) };
}

function capabilities(durability: Capabilities["durability"], maxBodyBytes: number): Capabilities {
  return {
    durability,
    ordering: "key",
    groups: true,
    broadcast: true,
    wildcard: true,
    priority: true,
    delay: true,
    nackDelay: true,
    replayByPosition: true,
    replayByTime: true,
    lag: true,
    exactAttempts: true,
    lease: true,
    dedupe: true,
    maxBatch: MAX_BATCH,
    maxBodyBytes,
  };
}
