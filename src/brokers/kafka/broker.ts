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
import { checkSpec } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import { KafkaAdmin } from "./admin.ts";
import { loadPackage } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { judge, readDurability } from "./durability.ts";
import { closedError, kafkaError } from "./errors.ts";
import { kafkaHandledIds } from "./handled-ids.ts";
import { kafkaSettings, type KafkaBrokerOptions, type KafkaSettings } from "./options.ts";
import { reportsOf } from "./report.ts";
import { Runtime } from "./runtime.ts";

export type {
  KafkaAddress,
  KafkaBrokerOptions,
  KafkaCompression,
  KafkaSaslOptions,
  KafkaTlsOptions,
} from "./options.ts";

const MAX_BATCH = 10_000;

/**
 * Apache Kafka 4: a topic a channel, one topic for all inboxes of agents, places of groups as committed offsets. A process has one
 * membership and a handful of connections a node, whatever the number of its groups and subscriptions.
 */
export class KafkaBroker implements Broker {
  readonly name = "kafka";
  // By its contract: what is below it has the types of a package that need not be there.
  readonly admin: Required<BrokerAdmin>;
  readonly #settings: KafkaSettings;
  #runtime: Runtime | undefined;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: KafkaBrokerOptions = {}) {
    this.#settings = kafkaSettings(options);
    this.admin = new KafkaAdmin(() => this.#open);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** True while a connection stands. */
  get isConnected(): boolean {
    return this.#state === "open" && this.#runtime?.cluster.isConnected === true;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closedError();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This Kafka broker is open already.");
    this.#state = "opening";
    let runtime: Runtime | undefined;
    try {
      const cluster = new Cluster(await loadPackage(), this.#settings);
      runtime = new Runtime(cluster);
      await runtime.start();
      const durability = await readDurability(cluster, runtime.directory.topic);
      judge(durability, cluster);
      if (signal?.aborted === true || this.#isClosing())
        throw new HeraldError("CANCELLED", "Opening the Kafka broker was cancelled.");
      this.#runtime = runtime;
      this.#state = "open";
      return capabilities(durability, this.#settings.maxBodyBytes);
    } catch (error) {
      await runtime?.stop();
      if (!this.#isClosing()) this.#state = "new";
      throw kafkaError(error);
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
      throw this.#state === "open" ? kafkaError(error) : closedError();
    }
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open" || !this.isConnected) return { state: "down", channels: [], dropped: 0 };
    const runtime = this.#open;
    try {
      const channels = await reportsOf(runtime, query.channels);
      return { state: "up", channels, dropped: 0 };
    } catch (error) {
      throw kafkaError(error);
    }
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(
      kafkaHandledIds(() => this.#open, horizonMs),
      maxIds,
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = "closed";
    await this.#runtime?.stop();
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
    priority: false,
    delay: true,
    nackDelay: true,
    replayByPosition: true,
    replayByTime: true,
    lag: true,
    exactAttempts: true,
    lease: false,
    dedupe: true,
    maxBatch: MAX_BATCH,
    maxBodyBytes,
  };
}
