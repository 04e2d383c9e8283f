import type {
  Broker,
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
import { Lifecycle, type Ending, type Opened } from "../shared/lifecycle.ts";
import { NatsAdmin } from "./admin.ts";
import { natsError } from "./errors.ts";
import { NatsHandledIds } from "./handled-ids.ts";
import { natsSettings, type NatsBrokerOptions, type NatsSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import { acquireLinks } from "./shared-links.ts";
import { durabilityOf } from "./storage.ts";

export type { NatsBrokerOptions, NatsTlsOptions } from "./options.ts";

const MAX_BATCH = 10_000;
/** Of the server's limit on a whole message, what is left for attributes and headers. */
const HEADER_ROOM_BYTES = 72 * 1024;

/**
 * NATS JetStream: a stream a namespace, a subject a channel, a pull consumer a group and pattern, one connection a process to one
 * server. What it keeps is what the stream says; `open()` reads it and reports it as it is. Needs nats-server 2.12.
 */
export class NatsBroker implements Broker {
  readonly name = "nats";
  readonly admin: NatsAdmin;
  readonly #life: Lifecycle<Runtime>;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: NatsBrokerOptions = {}) {
    const settings = natsSettings(options);
    this.#life = new Lifecycle({
      title: "NATS",
      named: natsError,
      start: (ending) => start(settings, ending),
    });
    this.admin = new NatsAdmin(() => this.#life.runtime);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#life.isClosed;
  }

  /** True while the connection stands. */
  get isConnected(): boolean {
    return this.#life.isOpen && this.#life.runtime.session.link.isUp;
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
    return this.#life.run(async ({ dropped }) => ({
      state: "up",
      channels: await this.admin.report(query.channels),
      dropped,
    }));
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(new NatsHandledIds(() => this.#life.runtime, horizonMs), maxIds);
  }

  close(): Promise<void> {
    return this.#life.close();
  }
}

async function start(given: NatsSettings, ending: Ending): Promise<Opened<Runtime>> {
  const { links, release } = await acquireLinks(given);
  ending(release);
  const room = Math.max(1024, links.all.maxPayloadBytes - HEADER_ROOM_BYTES);
  const settings = { ...given, maxBodyBytes: Math.min(given.maxBodyBytes, room) };
  const runtime = new Runtime(settings, links.all);
  ending(() => runtime.stop());
  const info = await runtime.start();
  return { runtime, capabilities: capabilities(durabilityOf(info), settings.maxBodyBytes) };
}

function capabilities(durability: Capabilities["durability"], maxBodyBytes: number): Capabilities {
  return {
    durability,
    ordering: "none",
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
    lease: true,
    dedupe: true,
    maxBatch: MAX_BATCH,
    maxBodyBytes,
  };
}
