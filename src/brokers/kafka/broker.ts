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
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import type { LoggedIds } from "../shared/logged-ids.ts";
import { Lifecycle, type Ending, type Opened } from "../shared/lifecycle.ts";
import { KafkaAdmin } from "./admin.ts";
import { loadPackage } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { judge, readDurability } from "./durability.ts";
import { kafkaError } from "./errors.ts";
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
  readonly #life: Lifecycle<Runtime>;
  /** The longest of all inboxes. */
  #handled: { readonly ids: LoggedIds; readonly horizonMs: number } | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: KafkaBrokerOptions = {}) {
    const settings = kafkaSettings(options);
    this.#life = new Lifecycle({
      title: "Kafka",
      named: kafkaError,
      start: (ending) => start(settings, ending, (scope, id) => this.#isHandled(scope, id)),
    });
    this.admin = new KafkaAdmin(() => this.#life.runtime);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#life.isClosed;
  }

  /** True while a connection stands. */
  get isConnected(): boolean {
    return this.#life.isOpen && this.#life.runtime.cluster.isConnected;
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
    return this.#life.run(async (runtime) => ({
      state: "up",
      channels: await reportsOf(runtime, query.channels),
      dropped: 0,
    }));
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(this.#handledIds(horizonMs), maxIds);
  }

  #handledIds(horizonMs: number): LoggedIds {
    const ids = kafkaHandledIds(() => this.#life.runtime, horizonMs);
    if (this.#handled === undefined || horizonMs > this.#handled.horizonMs)
      this.#handled = { ids, horizonMs };
    return ids;
  }

  async #isHandled(scope: string, id: string): Promise<boolean> {
    const ids = this.#handled?.ids ?? this.#handledIds(inboxLimits({}).horizonMs);
    return (await ids.find(scope, id)) === "done";
  }

  close(): Promise<void> {
    return this.#life.close();
  }
}

async function start(
  settings: KafkaSettings,
  ending: Ending,
  isHandled: (scope: string, id: string) => Promise<boolean>,
): Promise<Opened<Runtime>> {
  const cluster = new Cluster(await loadPackage(), settings);
  const runtime = new Runtime(cluster, isHandled);
  ending(() => runtime.stop());
  await runtime.start();
  const durability = await readDurability(cluster, runtime.directory.topic);
  judge(durability, cluster);
  return { runtime, capabilities: capabilities(durability, settings.maxBodyBytes) };
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
