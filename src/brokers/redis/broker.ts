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
import { HeraldError } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions, Stores } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import type { Held } from "../shared/shared-links.ts";
import { RedisAdmin } from "./admin.ts";
import { judge, readDurability } from "./durability.ts";
import { closedError, redisError } from "./errors.ts";
import { RedisHandledIds } from "./handled-ids.ts";
import { redisSettings, type RedisBrokerOptions, type RedisSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import { acquireLinks, type Links } from "./shared-links.ts";
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
  readonly #settings: RedisSettings;
  #held: Held<Links> | undefined;
  #runtime: Runtime | undefined;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: RedisBrokerOptions = {}) {
    this.#settings = redisSettings(options);
    this.admin = new RedisAdmin({
      session: () => this.#open.session,
      registry: () => this.#open.registry,
      removed: (channel) => this.#open.removed(channel),
    });
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** True while the connection for commands stands. */
  get isConnected(): boolean {
    return this.#state === "open" && this.#held?.links.commands.isUp === true;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closedError();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This Redis broker is open already.");
    this.#state = "opening";
    let held: Held<Links> | undefined;
    try {
      held = await acquireLinks(this.#settings);
      const kept = await readDurability(held.links.commands);
      judge(kept, this.#settings);
      const consumer = `${hostname()}-${process.pid}-${randomBytes(4).toString("hex")}`;
      const runtime = new Runtime(this.#settings, held.links, consumer);
      await runtime.start();
      if (signal?.aborted === true || this.#isClosing()) {
        await runtime.stop();
        throw new HeraldError("CANCELLED", "Opening the Redis broker was cancelled.");
      }
      this.#held = held;
      this.#runtime = runtime;
      this.#state = "open";
      return capabilities(kept.durability, this.#settings.maxBodyBytes);
    } catch (error) {
      await held?.release();
      if (!this.#isClosing()) this.#state = "new";
      throw redisError(error);
    }
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    return this.#open.publisher.publish(envelopes, options);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const runtime = this.#open;
    checkSpec(spec);
    try {
      return await runtime.subscribe(spec);
    } catch (error) {
      throw this.#state === "open" ? redisError(error) : closedError();
    }
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open" || !this.isConnected) return { state: "down", channels: [], dropped: 0 };
    const runtime = this.#open;
    try {
      const names = await runtime.registry.names();
      const asked = query.channels;
      const existing = asked === undefined ? names : asked.filter((name) => names.includes(name));
      const channels = await Promise.all(existing.map((name) => this.admin.report(name)));
      return { state: "up", channels, dropped: runtime.dropped };
    } catch (error) {
      throw redisError(error);
    }
  }

  /** The latest envelopes that a channel retains, newest first; 100 unless said otherwise. */
  async history(channel: string, count = 100): Promise<readonly StoredEnvelope[]> {
    checkChannel(channel);
    return count > 0 ? this.admin.history(channel, count) : [];
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(new RedisHandledIds(() => this.#open.session, horizonMs), maxIds);
  }

  /** Usable while the broker is open; before and after they reject with `CLOSED`. */
  createStores(): Stores {
    return new RedisStores(() => this.#open.session);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = "closed";
    await this.#runtime?.stop();
    await this.#held?.release();
  }

  #isClosing(): boolean {
    return this.#state === "closed";
  }

  get #open(): Runtime {
    if (this.#state !== "open" || this.#runtime === undefined) throw closedError();
    return this.#runtime;
  }
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
