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
import { RabbitAdmin } from "./admin.ts";
import { closedError, rabbitError } from "./errors.ts";
import { rabbitHandledIds } from "./handled-ids.ts";
import { rabbitSettings, type RabbitBrokerOptions, type RabbitSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import { acquireLinks, type HeldLinks } from "./shared-links.ts";

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
  readonly #settings: RabbitSettings;
  #held: HeldLinks | undefined;
  #runtime: Runtime | undefined;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: RabbitBrokerOptions = {}) {
    this.#settings = rabbitSettings(options);
    this.admin = new RabbitAdmin(() => this.#open);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** True while both connections stand. */
  get isConnected(): boolean {
    const links = this.#held?.links;
    return this.#state === "open" && links?.publishing.isUp === true && links.consuming.isUp;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closedError();
    if (this.#state !== "new")
      throw new HeraldError("ALREADY_EXISTS", "This RabbitMQ broker is open already.");
    this.#state = "opening";
    let held: HeldLinks | undefined;
    let runtime: Runtime | undefined;
    try {
      held = await acquireLinks(this.#settings);
      judge(held, this.#settings);
      runtime = new Runtime(this.#settings, held.links);
      await runtime.start();
      if (signal?.aborted === true || this.#isClosing())
        throw new HeraldError("CANCELLED", "Opening the RabbitMQ broker was cancelled.");
      this.#held = held;
      this.#runtime = runtime;
      this.#state = "open";
      return capabilities(this.#settings.maxBodyBytes);
    } catch (error) {
      await runtime?.stop();
      await held?.release();
      if (!this.#isClosing()) this.#state = "new";
      throw rabbitError(error);
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
      throw this.#state === "open" ? rabbitError(error) : closedError();
    }
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open" || !this.isConnected) return { state: "down", channels: [], dropped: 0 };
    const runtime = this.#open;
    const isBlocked = runtime.session.links.publishing.blockedBy !== undefined;
    const state = isBlocked ? "degraded" : "up";
    return { state, channels: runtime.report(query.channels), dropped: 0 };
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(
      rabbitHandledIds(() => this.#open, horizonMs),
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

/** Refuses a server that is too old, and tells of a way to it that is not safe. */
function judge({ links }: HeldLinks, { tls }: RabbitSettings): void {
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
