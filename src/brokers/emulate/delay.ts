import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  ChannelReport,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { mergeChannels } from "../shared/reports.ts";
import { DelaySubscription } from "./delay-subscription.ts";
import { Emulation, type EmulateOptions } from "./emulation.ts";
import { channelOfReturns, fromDue, returnChannel, toDue } from "./held.ts";
import { HidingAdmin } from "./hiding-admin.ts";
import { Schedule } from "./schedule.ts";

/**
 * Gives a broker delay: messages that are delivered later, and nacks that wait. Both lie on channels of the broker itself, so
 * that they survive what its messages survive, and any process that has the wrapper open moves them on. Needs groups, else
 * opening it rejects with `UNSUPPORTED`.
 */
export function withDelay(broker: Broker, options: EmulateOptions = {}): Broker {
  return new DelayBroker(broker, options);
}

class DelayBroker extends Emulation {
  declare readonly admin?: BrokerAdmin;
  #schedule: Schedule | undefined;
  readonly #subscriptions = new Set<DelaySubscription>();

  constructor(inner: Broker, options: EmulateOptions) {
    super(inner, "delay", options);
    if (inner.admin !== undefined)
      this.admin = new DelayAdmin(inner.admin, (channel) => this.isInternal(channel));
  }

  override async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const schedule = this.#schedule;
    if (schedule === undefined || envelopes.every(({ deliverAt }) => deliverAt === undefined))
      return this.inner.publish(envelopes, options);
    this.checkOpen();
    const now = this.timers.clock.now();
    const ways = envelopes.map((envelope) => this.#wayOf(envelope, now));
    const sent = envelopes.flatMap((envelope, at): Envelope[] => {
      const way = ways[at];
      if (way === "held") return [schedule.hold(envelope, options?.dedupe === true)];
      if (way === "due") return [toDue(envelope)];
      return way === "plain" ? [envelope] : [];
    });
    const results = (sent.length === 0 ? [] : await this.inner.publish(sent, options)).values();
    return ways.map((way): PublishResult => {
      if (typeof way !== "string") return { ok: false, error: way };
      const result = results.next().value as PublishResult;
      if (way !== "held" || !result.ok) return result;
      // Where it will be and who will get it is not known before it is there.
      return { ok: true, position: null, deduplicated: result.deduplicated, matched: null };
    });
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (!this.isActive) return this.inner.subscribe(spec);
    this.checkOpen();
    checkSpec(spec);
    const subscription = await DelaySubscription.open(spec, {
      broker: this.inner,
      below: this.#on(spec.pattern),
      keepMs: this.keepMs,
      host: this.host,
      idle: (ended) => this.#subscriptions.delete(ended),
    });
    if (this.isClosed) {
      await subscription.end();
      throw this.closed();
    }
    this.gatherings.add(subscription);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  override async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    const report = await this.inner.inspect(query);
    if (!this.isActive) return report;
    const returns = report.channels.filter(({ channel }) => channelOfReturns(channel) !== undefined);
    const channels = report.channels.filter(({ channel }) => !this.isInternal(channel));
    if (query.channels !== undefined) returns.push(...(await this.#returnsOf(channels)));
    return { ...report, channels: channels.map((channel) => this.#complete(channel, returns)) };
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    return { ...capabilities, delay: true, nackDelay: true };
  }

  protected isLacking({ delay, nackDelay }: Capabilities): boolean {
    return !delay || !nackDelay;
  }

  protected missing({ groups }: Capabilities): string[] {
    return groups ? [] : ["groups"];
  }

  protected async begin(): Promise<void> {
    const { inner, below, timers } = this;
    const fault = (error: HeraldError) => this.fault(error, "delay");
    this.#schedule = new Schedule({ broker: inner, below, timers, fault });
    await this.#schedule.start();
  }

  protected async end(): Promise<void> {
    await Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.end()));
    await this.#schedule?.stop();
  }

  /** What the broker below can do on a channel or pattern. */
  #on(pattern: string): Capabilities {
    return this.inner.capabilitiesOf?.(pattern) ?? this.below;
  }

  /** How an envelope goes: as it is, at once with its time in a header, or held; an error: not at all. */
  #wayOf(envelope: Envelope, now: number): "plain" | "due" | "held" | HeraldError {
    const { channel, deliverAt, priority } = envelope;
    if (deliverAt === undefined) return "plain";
    try {
      checkChannel(channel);
    } catch (error) {
      return toHeraldError(error);
    }
    const can = this.#on(channel);
    if (can.delay) return "plain";
    if (deliverAt <= now) return "due";
    if (can.priority || priority === DEFAULT_PRIORITY) return "held";
    // Held, it would be refused when nobody is there to hear it.
    const message = `The broker '${this.inner.name}' has no priority: publish without it, or give it priority too.`;
    return new HeraldError("UNSUPPORTED", message, { details: { ability: "priority" } });
  }

  /** What waits to come back to the groups of some channels. */
  async #returnsOf(channels: readonly ChannelReport[]): Promise<readonly ChannelReport[]> {
    const names = channels.flatMap(({ channel, groups }) =>
      groups.flatMap(({ group }) => returnChannel(group, channel) ?? []),
    );
    return names.length === 0 ? [] : (await this.inner.inspect({ channels: names })).channels;
  }

  /** What waits to come back is not acknowledged, and it is not handed out. */
  #complete(report: ChannelReport, returns: readonly ChannelReport[]): ChannelReport {
    const { channel } = report;
    const waiting = returns.filter((entry) => channelOfReturns(entry.channel) === channel);
    const whole = waiting.reduce(
      (sum, { groups }) =>
        mergeChannels(sum, {
          channel,
          depth: 0,
          groups: groups.map(({ group, lag }) => ({ group, lag, unsettled: this.#returned(group, channel) })),
        }),
      report,
    );
    const groups = whole.groups.map((entry) => ({
      ...entry,
      unsettled: entry.unsettled === null ? null : entry.unsettled - this.#parked(entry.group, channel),
    }));
    return { ...whole, groups };
  }

  #returned(group: string, channel: string): number {
    return this.#sum(group, (subscription) => subscription.returnedOf(channel));
  }

  #parked(group: string, channel: string): number {
    return this.#sum(group, (subscription) => subscription.parkedOf(channel));
  }

  #sum(group: string, count: (subscription: DelaySubscription) => number): number {
    let total = 0;
    for (const subscription of this.#subscriptions)
      if (subscription.spec.group === group) total += count(subscription);
    return total;
  }
}

/** Looks after channels with what waits to come back to their groups. Messages that are not due yet are on no channel. */
class DelayAdmin extends HidingAdmin {
  override async remove(channel: string): Promise<void> {
    for (const name of await this.#returnsOf(channel)) await this.below.remove(name);
    await super.remove(channel);
  }

  override async purge(channel: string): Promise<number> {
    for (const name of await this.#returnsOf(channel)) await this.below.purge(name);
    return super.purge(channel);
  }

  override async browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): ReturnType<BrokerAdmin["browse"]> {
    const page = await super.browse(channel, options);
    return page.map(({ envelope, position }) => ({ envelope: fromDue(envelope), position }));
  }

  protected override async forget(pattern: string, group: string): Promise<void> {
    const returns = returnChannel(group, pattern);
    if (returns !== undefined) await super.forget(returns, group);
    await super.forget(pattern, group);
  }

  async #returnsOf(channel: string): Promise<readonly string[]> {
    return (await this.below.list()).filter((name) => channelOfReturns(name) === channel);
  }
}
