import { plainCopy } from "../codec/plain.ts";
import type { Broker, Capabilities } from "../core/broker.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import type { PublishOptions } from "../core/message.ts";
import type { EffectLedger } from "../core/effect.ts";
import type { Inbox } from "../core/store.ts";
import { Codecs, type Writing } from "../codec/codecs.ts";
import { Composer } from "../delivery/compose.ts";
import { currentDelivery, type Outbox } from "../delivery/context.ts";
import { isDeadLetter } from "../delivery/dead-letter.ts";
import { DeadLetters } from "../delivery/dead-letters.ts";
import { Publisher, type Published } from "../delivery/publisher.ts";
import { sealOf } from "../patterns/provenance.ts";
import type { Metrics } from "../observability/metrics.ts";
import { Breakers } from "./breakers.ts";
import { requireAbility } from "./check.ts";
import { PublishContract } from "./contracts.ts";
import { Conversations } from "./conversations.ts";
import type { ChannelDefinition } from "./channel-definition.ts";
import { InTurn } from "./in-turn.ts";
import { effectsOf } from "./effects.ts";
import { DeliveryGuarantee } from "./options.ts";
import type { OutgoingMessage, PublishChain } from "./publish-chain.ts";
import { isToBeRouted, outgoingOf, routedAgain, type CopyTools } from "./routes/copies.ts";
import type { Routing } from "./routes/routing.ts";
import type { Settings } from "./settings.ts";
import { leaseBroker, type BrokerLease } from "./shared-broker.ts";

/** What is published where, and how. */
interface Going {
  readonly channel: string;
  readonly options: PublishOptions;
  /** What the channel's definition in code says of its payloads. */
  readonly writing: Writing | undefined;
}

/** What an author, or a middleware after it, publishes. */
type ToPublish = Pick<OutgoingMessage, "channel" | "payload" | "options">;

/** A message that rules are asked about, and how it and its copies are sent. */
interface RoutedPublish<T> {
  readonly envelope: Envelope | Promise<Envelope>;
  readonly payload: unknown;
  readonly own: () => Promise<T>;
  readonly others: (envelope: Envelope | Promise<Envelope>, channel: string) => Promise<unknown>;
}

/** What a runtime is made with. */
interface RuntimeParts {
  readonly lease: BrokerLease;
  readonly metrics: Metrics;
  readonly breakers: Breakers;
  readonly chain: PublishChain;
}

/** Opens the broker and what stands before it. Rejects as opening does, and with `UNSUPPORTED` where a package is missing. */
export async function createRuntime(
  settings: Settings,
  parts: Pick<RuntimeParts, "metrics" | "chain">,
): Promise<Runtime> {
  const breakers = new Breakers(settings.breakers, settings.agentId, settings.clock);
  const lease = await leaseBroker(settings.broker());
  return new Runtime(settings, { ...parts, breakers, lease });
}

/** What exists only while a service runs: the way of a message out. */
export class Runtime {
  readonly settings: Settings;
  readonly lease: BrokerLease;
  readonly metrics: Metrics;
  readonly publisher: Publisher;
  readonly deadLetters: DeadLetters;
  readonly codecs: Codecs;
  readonly breakers: Breakers;
  readonly conversations: Conversations;
  readonly startedAt: number;
  #inbox: Inbox | undefined;
  #effects: EffectLedger | undefined;
  readonly #composer: Composer;
  readonly #contract: PublishContract;
  readonly #chain: PublishChain;
  readonly #late: InTurn;

  constructor(settings: Settings, { lease, metrics, breakers, chain }: RuntimeParts) {
    this.#chain = chain;
    this.settings = settings;
    this.lease = lease;
    this.metrics = metrics;
    const { agentId, clock, limits, messaging, strict, logger, defaultKey } = settings;
    const { broker, capabilities } = lease;
    const { maxBatch, maxBodyBytes } = capabilities;
    this.startedAt = clock.monotonic();
    this.#contract = new PublishContract({ agentId, messaging, strict, logger });
    const codecs = new Codecs(settings.codecs, limits);
    this.codecs = codecs;
    this.conversations = new Conversations(broker, settings);
    const { budget } = settings;
    if (budget !== undefined) this.conversations.require(budget);
    const seal = settings.provenance ? sealOf : undefined;
    this.#composer = new Composer({
      agentId,
      clock,
      limits,
      codecs,
      maxBodyBytes,
      defaultKey,
      budget,
      seal,
    });
    this.#late = new InTurn(settings.maxPendingPublishes);
    this.breakers = breakers;
    metrics.breakers = () => breakers.figures;
    this.publisher = new Publisher({
      broker,
      breaker: breakers.broker(broker.name),
      agentId,
      clock,
      meter: metrics,
      maxBatch,
      publishTimeoutMs: settings.publishTimeoutMs,
      maxPending: settings.maxPendingPublishes,
    });
    this.deadLetters = new DeadLetters({
      broker,
      agentId,
      clock,
      codecs,
      ownChannel: settings.deadLetterChannel ?? "",
      publish: (envelope) => this.#sendBack(envelope),
    });
  }

  /** The record behind exactly-once, one for all subscriptions. */
  get inbox(): Inbox {
    return (this.#inbox ??= this.settings.inbox(this.broker));
  }

  /** The record of this agent's calls to the outside. Throws `UNSUPPORTED` where the broker keeps no values and no stores are given. */
  get effects(): EffectLedger {
    return (this.#effects ??= effectsOf(this.settings, this.broker));
  }

  get broker(): Broker {
    return this.lease.broker;
  }

  /** What the broker can do on every channel. */
  get capabilities(): Capabilities {
    return this.lease.capabilities;
  }

  /** What it can do on a channel, or on all that a pattern covers. */
  capabilitiesOf(pattern: string): Capabilities {
    return this.broker.capabilitiesOf?.(pattern) ?? this.capabilities;
  }

  /** Composes and publishes; resolves with the id. What an exactly-once handler publishes waits until it has succeeded. */
  publish(
    channel: string,
    payload: unknown,
    options: PublishOptions,
    defined?: ChannelDefinition,
  ): Promise<string> {
    const going = { channel, options, writing: defined?.writing };
    if (this.#chain.isEmpty) return this.#publish(payload, going, defined);
    return this.#chain.run(this.#outgoing(channel, payload, options), (out) =>
      this.#publish(out.payload, { ...going, channel: out.channel, options: out.options }, defined),
    );
  }

  #publish(payload: unknown, going: Going, defined: ChannelDefinition | undefined): Promise<string> {
    const checked = this.#contract.check(going.channel, payload, defined?.schema);
    if (checked instanceof Promise)
      return this.#hold(checked, payload).then((held) => this.#publishChecked(held, going));
    return this.#publishChecked(payload, going);
  }

  /**
   * As {@link publish}, at once even inside an exactly-once handler, resolving with what the broker said. What is Herald's own
   * goes past middlewares and routing rules.
   */
  async send(
    channel: string,
    payload: unknown,
    options: PublishOptions,
    { isOwn = false } = {},
  ): Promise<Published> {
    if (isOwn || this.#chain.isEmpty) return this.#sendChecked({ channel, payload, options }, isOwn);
    return this.#chain.run(this.#outgoing(channel, payload, options), (out) => this.#sendChecked(out, false));
  }

  async #sendChecked({ channel, payload, options }: ToPublish, isOwn: boolean): Promise<Published> {
    const checked = this.#contract.check(channel, payload);
    const held = checked instanceof Promise ? await this.#hold(checked, payload) : payload;
    const dedupe = this.#dedupe(channel, options);
    const envelope = this.#compose(held, { channel, options, writing: undefined });
    if (this.settings.routing === undefined || isOwn) return this.#send(envelope, channel, dedupe);
    const own = (): Promise<Published> => this.#send(envelope, channel, dedupe);
    return this.#routed({ envelope, payload: held, own, others: (one, on) => this.#send(one, on, dedupe) });
  }

  /** Resolves when everything that had to wait for a middleware or its codec has gone to the publisher. */
  async encoded(): Promise<void> {
    await this.#chain.idle();
    await this.#late.idle();
  }

  /** What middlewares get: a copy, so that what the author makes of the payload afterwards changes nothing. */
  #outgoing(channel: string, payload: unknown, options: PublishOptions): OutgoingMessage {
    const { agentId, limits } = this.settings;
    return { source: agentId, channel, payload: plainCopy(payload, limits.maxDepth), options };
  }

  /** Publishes what an exactly-once handler left; rejects unless the broker took all of it. */
  async publishAll(envelopes: readonly Envelope[]): Promise<void> {
    const dedupe = ({ channel }: Envelope) => this.capabilitiesOf(channel).dedupe;
    await Promise.all(envelopes.map((envelope) => this.publisher.publish(envelope, dedupe(envelope))));
  }

  /** The payload as it is now, once its check has ended: what the author makes of it meanwhile is not what was published. */
  async #hold(checked: Promise<void>, payload: unknown): Promise<unknown> {
    const { maxDepth } = this.settings.limits;
    const [held] = await Promise.all([
      new Promise((resolve) => resolve(plainCopy(payload, maxDepth))),
      checked,
    ]);
    return held;
  }

  #publishChecked(payload: unknown, going: Going): Promise<string> {
    const { channel, options } = going;
    const envelope = this.#compose(payload, going);
    const dedupe = this.#dedupe(channel, options);
    if (this.settings.routing === undefined) return this.#sendOut(envelope, channel, dedupe);
    const own = (): Promise<string> => this.#sendOut(envelope, channel, dedupe);
    return this.#routed({ envelope, payload, own, others: (one, on) => this.#sendOut(one, on, dedupe) });
  }

  #sendOut(envelope: Envelope | Promise<Envelope>, channel: string, dedupe: boolean): Promise<string> {
    const outbox = currentDelivery.getStore()?.outbox;
    if (outbox !== undefined && !outbox.sealed) return leave(envelope, outbox);
    if (this.#isLate(envelope, channel))
      return this.#late.run(envelope, channel, (ready) =>
        this.publisher.publish(ready, dedupe && !isDeadLetter(ready)),
      );
    return this.publisher.publish(envelope, dedupe && !isDeadLetter(envelope));
  }

  #send(envelope: Envelope | Promise<Envelope>, channel: string, dedupe: boolean): Promise<Published> {
    if (this.#isLate(envelope, channel))
      return this.#late.run(envelope, channel, (ready) =>
        this.publisher.send(ready, dedupe && !isDeadLetter(ready)),
      );
    return this.publisher.send(envelope, dedupe && !isDeadLetter(envelope));
  }

  /** A message, and what the rules make of it: resolves as `own` does, once the broker has all of it. */
  #routed<T>({ envelope, payload, own, others }: RoutedPublish<T>): Promise<T> {
    if (envelope instanceof Promise) {
      const held = plainCopy(payload, this.settings.limits.maxDepth);
      const copies = envelope.then((ready) =>
        Promise.all(outgoingOf(ready, held, this.#tools).map((out) => others(out.envelope, out.channel))),
      );
      return Promise.all([own(), copies]).then(([result]) => result);
    }
    // What can be refused at once is refused before anything is sent.
    const outgoing = outgoingOf(envelope, payload, this.#tools);
    if (outgoing.length === 0) return own();
    return Promise.all([own(), ...outgoing.map((out) => others(out.envelope, out.channel))]).then(
      ([result]) => result,
    );
  }

  /** What somebody sends back from the dead letters: what rules had put there is routed again. */
  async #sendBack(envelope: Envelope): Promise<unknown> {
    if (!isToBeRouted(envelope)) return this.publisher.publish(envelope, false);
    if (this.settings.routing === undefined) {
      const message = `${envelope.id} was not routed, and this service has no routing rules: send it back from one that has them.`;
      throw new HeraldError("UNSUPPORTED", message, { details: { id: envelope.id } });
    }
    const payload = await this.codecs.decode(envelope, envelope.channel);
    const outgoing = routedAgain(envelope, payload, this.#tools);
    return Promise.all(outgoing.map((out) => this.#sendOut(out.envelope, out.channel, false)));
  }

  get #tools(): CopyTools {
    const { routing, agentId, deadLetterChannel, clock, logger } = this.settings;
    return {
      routing: routing as Routing,
      agentId,
      deadLetterChannel,
      logger,
      now: () => clock.now(),
      compose: (channel, payload, options) =>
        this.#compose(payload, { channel, options, writing: undefined }),
    };
  }

  /** Must it wait for its codec, or behind one of its channel that does? */
  #isLate(envelope: Envelope | Promise<Envelope>, channel: string): envelope is Promise<Envelope> {
    return envelope instanceof Promise || this.#late.has(channel);
  }

  #compose(payload: unknown, { channel, options, writing }: Going): Envelope | Promise<Envelope> {
    if (options.delayMs !== undefined) this.#require("delay", channel, "delayMs");
    if (options.budget !== undefined) this.conversations.require(options.budget);
    if (options.priority !== undefined) this.#require("priority", channel, "priority");
    return this.#composer.compose(channel, payload, options, writing);
  }

  #dedupe(channel: string, options: PublishOptions): boolean {
    if (options.dedupe === true) this.#require("dedupe", channel, "dedupe");
    return (
      options.dedupe ??
      (this.settings.guarantee === DeliveryGuarantee.EXACTLY_ONCE && this.capabilitiesOf(channel).dedupe)
    );
  }

  #require(ability: "delay" | "priority" | "dedupe", channel: string, because: string): void {
    requireAbility(this.broker.name, this.capabilitiesOf(channel), {
      ability,
      agentId: this.settings.agentId,
      channel,
      because,
    });
  }
}

/** Leaves an envelope with the exactly-once handler that published it. */
function leave(envelope: Envelope | Promise<Envelope>, { envelopes }: Outbox): Promise<string> {
  if (!(envelope instanceof Promise)) {
    envelopes.push(envelope);
    return Promise.resolve(envelope.id);
  }
  // What cannot be encoded is told to the handler, and takes its place, so that the ids of the later ones stay the same.
  envelopes.push(envelope.catch(() => undefined));
  return envelope.then(({ id }) => id);
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
