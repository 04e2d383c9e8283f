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
import { emit } from "../../core/events.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import { Lifecycle, type Ending, type Opened } from "../shared/lifecycle.ts";
import { RabbitAdmin } from "./admin.ts";
import { rabbitError } from "./errors.ts";
import { rabbitHandledIds } from "./handled-ids.ts";
import { rabbitSettings, type RabbitBrokerOptions, type RabbitSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import type { Links } from "./session.ts";
import { acquireLinks } from "./shared-links.ts";

export {
  RabbitMQBroker,
  type ClientChannel,
  type DeclareOptions,
  type ExchangeMessage,
  type ExchangeMessageInit,
  type ExchangeSubscription,
} from "./exchanges.ts";
export type { RabbitBrokerOptions, RabbitTlsOptions } from "./options.ts";

const MAX_BATCH = 10_000;
const LEAST_VERSION = 4;

/**
 * RabbitMQ: a topic exchange a namespace, a quorum queue a group and pattern, a classic queue a broadcast subscription, two
 * connections a process to one server. Needs RabbitMQ 4.
 */
export class RabbitBroker implements Broker {
  readonly name = "rabbitmq";
  readonly admin: BrokerAdmin;
  readonly #life: Lifecycle<Runtime>;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: RabbitBrokerOptions = {}) {
    const settings = rabbitSettings(options);
    this.#life = new Lifecycle({
      title: "RabbitMQ",
      named: rabbitError,
      start: (ending) => start(settings, ending),
    });
    this.admin = new RabbitAdmin(() => this.#life.runtime);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#life.isClosed;
  }

  /** True while both connections stand. */
  get isConnected(): boolean {
    if (!this.#life.isOpen) return false;
    const { publishing, consuming } = this.#life.runtime.session.links;
    return publishing.isUp && consuming.isUp;
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
    const { runtime } = this.#life;
    const isBlocked = runtime.session.links.publishing.blockedBy !== undefined;
    const state = isBlocked ? "degraded" : "up";
    return { state, channels: runtime.report(query.channels), dropped: 0 };
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(
      rabbitHandledIds(() => this.#life.runtime, horizonMs),
      maxIds,
    );
  }

  close(): Promise<void> {
    return this.#life.close();
  }
}

async function start(settings: RabbitSettings, ending: Ending): Promise<Opened<Runtime>> {
  const { links, release } = await acquireLinks(settings);
  ending(release);
  judge(links, settings);
  const runtime = new Runtime(settings, links);
  ending(() => runtime.stop());
  await runtime.start();
  return { runtime, capabilities: capabilities(settings.maxBodyBytes) };
}

/** Refuses a server that is too old, and tells of a way to it that is not safe. */
function judge(links: Links, { tls }: RabbitSettings): void {
  const { product, version } = links.consuming.model.connection.serverProperties;
  if (product === "RabbitMQ" && Number.parseInt(version, 10) < LEAST_VERSION) {
    const message = `The server is RabbitMQ ${version}: use RabbitMQ ${LEAST_VERSION} or later, whose quorum queues count attempts without a limit.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { version } });
  }
  if (tls?.insecure !== true) return;
  const message = "TLS certificates are not verified: anybody may be the server.";
  const error = new HeraldError("UNSAFE_STORAGE", message);
  emit("fault", () => ({ agent: "", error, where: "rabbitmq tls" }));
}

function capabilities(maxBodyBytes: number): Capabilities {
  return {
    durability: "process",
    ordering: "none",
    groups: true,
    broadcast: true,
    wildcard: true,
    priority: false,
    delay: true,
    nackDelay: true,
    replayByPosition: false,
    replayByTime: false,
    lag: false,
    exactAttempts: true,
    lease: false,
    dedupe: false,
    maxBatch: MAX_BATCH,
    maxBodyBytes,
  };
}
