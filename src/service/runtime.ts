import type { Broker, Capabilities } from "../core/broker.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import type { PublishOptions } from "../core/message.ts";
import { Composer } from "../delivery/compose.ts";
import { currentDelivery } from "../delivery/context.ts";
import { DeadLetters } from "../delivery/dead-letters.ts";
import { Publisher, type Published } from "../delivery/publisher.ts";
import type { Metrics } from "../observability/metrics.ts";
import { requireAbility } from "./check.ts";
import { PublishContract } from "./contracts.ts";
import { hold } from "./hold.ts";
import { DeliveryGuarantee } from "./options.ts";
import type { SchemaLike } from "./schema/model.ts";
import type { Settings } from "./settings.ts";
import type { BrokerLease } from "./shared-broker.ts";

/** What exists only while a service runs: the way of a message out. */
export class Runtime {
  readonly settings: Settings;
  readonly lease: BrokerLease;
  readonly metrics: Metrics;
  readonly publisher: Publisher;
  readonly deadLetters: DeadLetters;
  readonly startedAt: number;
  readonly #composer: Composer;
  readonly #contract: PublishContract;

  constructor(settings: Settings, lease: BrokerLease, metrics: Metrics) {
    this.settings = settings;
    this.lease = lease;
    this.metrics = metrics;
    const { agentId, clock, limits, messaging, strict, logger, defaultKey } = settings;
    const { broker, capabilities } = lease;
    const { maxBatch, maxBodyBytes } = capabilities;
    this.startedAt = clock.monotonic();
    this.#contract = new PublishContract({ agentId, messaging, strict, logger });
    this.#composer = new Composer({ agentId, clock, limits, maxBodyBytes, defaultKey });
    this.publisher = new Publisher({
      broker,
      agentId,
      clock,
      meter: metrics,
      maxBatch,
      publishTimeoutMs: settings.publishTimeoutMs,
      maxPending: settings.maxPendingPublishes,
    });
    this.deadLetters = new DeadLetters({
      broker,
      clock,
      limits,
      ownChannel: settings.deadLetterChannel ?? "",
      publish: (envelope) => this.publisher.publish(envelope, false),
    });
  }

  get broker(): Broker {
    return this.lease.broker;
  }

  get capabilities(): Capabilities {
    return this.lease.capabilities;
  }

  /** Composes and publishes; resolves with the id. What an exactly-once handler publishes waits until it has succeeded. */
  publish(channel: string, payload: unknown, options: PublishOptions, schema?: SchemaLike): Promise<string> {
    const checked = this.#contract.check(channel, payload, schema);
    if (checked instanceof Promise)
      return this.#hold(checked, payload).then((held) => this.#publishChecked(channel, held, options));
    return this.#publishChecked(channel, payload, options);
  }

  /** As {@link publish}, at once even inside an exactly-once handler, resolving with what the broker said. */
  async send(channel: string, payload: unknown, options: PublishOptions): Promise<Published> {
    const checked = this.#contract.check(channel, payload);
    const held = checked instanceof Promise ? await this.#hold(checked, payload) : payload;
    return this.publisher.send(this.#compose(channel, held, options), this.#dedupe(channel, options));
  }

  /** Publishes what an exactly-once handler left; rejects unless the broker took all of it. */
  async publishAll(envelopes: readonly Envelope[]): Promise<void> {
    const { dedupe } = this.capabilities;
    await Promise.all(envelopes.map((envelope) => this.publisher.publish(envelope, dedupe)));
  }

  /** The payload as it is now, once its check has ended: what the author makes of it meanwhile is not what was published. */
  async #hold(checked: Promise<void>, payload: unknown): Promise<unknown> {
    const { maxDepth } = this.settings.limits;
    const [held] = await Promise.all([new Promise((resolve) => resolve(hold(payload, maxDepth))), checked]);
    return held;
  }

  #publishChecked(channel: string, payload: unknown, options: PublishOptions): Promise<string> {
    const envelope = this.#compose(channel, payload, options);
    const outbox = currentDelivery.getStore()?.outbox;
    if (outbox === undefined || outbox.sealed)
      return this.publisher.publish(envelope, this.#dedupe(channel, options));
    outbox.envelopes.push(envelope);
    return Promise.resolve(envelope.id);
  }

  #compose(channel: string, payload: unknown, options: PublishOptions): Envelope {
    if (options.delayMs !== undefined) this.#require("delay", channel, "delayMs");
    if (options.priority !== undefined) this.#require("priority", channel, "priority");
    return this.#composer.compose(channel, payload, options);
  }

  #dedupe(channel: string, options: PublishOptions): boolean {
    if (options.dedupe === true) this.#require("dedupe", channel, "dedupe");
    return (
      options.dedupe ??
      (this.capabilities.dedupe && this.settings.guarantee === DeliveryGuarantee.EXACTLY_ONCE)
    );
  }

  #require(ability: "delay" | "priority" | "dedupe", channel: string, because: string): void {
    requireAbility(this.broker.name, this.capabilities, {
      ability,
      agentId: this.settings.agentId,
      channel,
      because,
    });
  }
}

/** What a call gets that comes before start() or after stop(). */
export function notRunning(agentId: string): HeraldError {
  return new HeraldError(
    "CLOSED",
    `The service of agent '${agentId}' is not running: await start() first, and call nothing after stop().`,
    {
      details: { agentId },
    },
  );
}
