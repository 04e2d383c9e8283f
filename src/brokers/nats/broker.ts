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
import { HeraldError } from "../../core/errors.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { ClaimingInbox } from "../shared/claiming-inbox.ts";
import type { Held } from "../shared/shared-links.ts";
import { NatsAdmin } from "./admin.ts";
import { closedError, natsError } from "./errors.ts";
import { NatsHandledIds } from "./handled-ids.ts";
import { natsSettings, type NatsBrokerOptions, type NatsSettings } from "./options.ts";
import { Runtime } from "./runtime.ts";
import { acquireLinks, type Links } from "./shared-links.ts";
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
  readonly #given: NatsSettings;
  #held: Held<Links> | undefined;
  #runtime: Runtime | undefined;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: NatsBrokerOptions = {}) {
    this.#given = natsSettings(options);
    this.admin = new NatsAdmin(() => this.#open);
  }

  /** True after close(): it cannot be opened again. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** True while the connection stands. */
  get isConnected(): boolean {
    return this.#state === "open" && this.#held?.links.all.isUp === true;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closedError();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This NATS broker is open already.");
    this.#state = "opening";
    let held: Held<Links> | undefined;
    let runtime: Runtime | undefined;
    try {
      held = await acquireLinks(this.#given);
      const room = Math.max(1024, held.links.all.maxPayloadBytes - HEADER_ROOM_BYTES);
      const settings = { ...this.#given, maxBodyBytes: Math.min(this.#given.maxBodyBytes, room) };
      runtime = new Runtime(settings, held.links.all);
      const info = await runtime.start();
      if (signal?.aborted === true || this.#isClosing())
        throw new HeraldError("CANCELLED", "Opening the NATS broker was cancelled.");
      this.#held = held;
      this.#runtime = runtime;
      this.#state = "open";
      return capabilities(durabilityOf(info), settings.maxBodyBytes);
    } catch (error) {
      await runtime?.stop();
      await held?.release();
      if (!this.#isClosing()) this.#state = "new";
      throw natsError(error);
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
      throw this.#state === "open" ? natsError(error) : closedError();
    }
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open" || !this.isConnected) return { state: "down", channels: [], dropped: 0 };
    const { dropped } = this.#open;
    try {
      return { state: "up", channels: await this.admin.report(query.channels), dropped };
    } catch (error) {
      throw natsError(error);
    }
  }

  createInbox(options: InboxOptions): Inbox {
    const { horizonMs, maxIds } = inboxLimits(options);
    return new ClaimingInbox(new NatsHandledIds(() => this.#open, horizonMs), maxIds);
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
