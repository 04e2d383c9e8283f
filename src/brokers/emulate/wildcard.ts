import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  Capabilities,
  PublishResult,
  StartFrom,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { isChannelName, isWildcard, matchPattern } from "../../core/pattern.ts";
import { FairGathering } from "../shared/fair-gathering.ts";
import type { GatheringHost } from "../shared/gathering.ts";
import { Source } from "../shared/source.ts";
import type { EmulateOptions } from "./emulation.ts";
import { FirstUse } from "./first-use.ts";
import { HidingAdmin } from "./hiding-admin.ts";
import { Once } from "./once.ts";
import { makePlace } from "./places.ts";
import { publishPrepared } from "./publish-prepared.ts";
import { RollEmulation, type Watcher } from "./roll-emulation.ts";

/**
 * Gives a broker patterns: a subscription to a pattern is one to each channel that it covers, and to each that comes into use.
 * A group that reads a pattern has a place on a new channel before its first message, whichever process publishes it, also
 * while the group is away. Needs `admin`, else opening it rejects with `UNSUPPORTED`. A broadcast over a pattern needs broadcast
 * and replay of the broker. Positions are places in one channel: a pattern starts at a time or at an end.
 */
export function withWildcard(broker: Broker, options: EmulateOptions = {}): Broker {
  return new WildcardBroker(broker, options);
}

class WildcardBroker extends RollEmulation<WildcardSubscription> {
  declare readonly admin?: BrokerAdmin;
  readonly #channels = new FirstUse((channel) => this.#makeReady(channel));

  constructor(inner: Broker, options: EmulateOptions) {
    super(inner, "wildcard", options);
    if (inner.admin !== undefined) this.admin = this.#adminOver(inner.admin);
  }

  override async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    if (!this.isActive) return this.inner.publish(envelopes, options);
    this.checkOpen();
    const nameOf = ({ channel }: Envelope) => (isChannelName(channel) ? channel : undefined);
    return publishPrepared(this.inner, { envelopes, options }, { uses: this.#channels, nameOf });
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (!this.isActive || !isWildcard(spec.pattern)) return this.inner.subscribe(spec);
    this.checkOpen();
    checkSpec(spec);
    this.#checkStart(spec);
    const subscription = new WildcardSubscription(spec, {
      broker: this.inner,
      keepMs: this.keepMs,
      host: this.watcherHost,
    });
    return this.join(subscription, async () => {
      const listed = await this.adminBelow.list();
      const known = new Set([...this.roll.names, ...listed].filter((name) => !this.isInternal(name)));
      await Promise.all([...known].map((channel) => subscription.attach(channel, spec.from ?? "new")));
    });
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    return { ...capabilities, wildcard: true };
  }

  protected isLacking({ wildcard }: Capabilities): boolean {
    return !wildcard;
  }

  protected missing({ groups, broadcast }: Capabilities): string[] {
    const missing = groups || broadcast ? [] : ["groups"];
    if (this.inner.admin === undefined) missing.push("admin");
    return missing;
  }

  protected attach(subscription: WildcardSubscription, channel: string, from: StartFrom): Promise<void> {
    return subscription.attach(channel, from);
  }

  /** Channels that were made past this wrapper. */
  protected override async look(): Promise<void> {
    for (const channel of await this.adminBelow.list())
      if (!this.isInternal(channel) && !this.roll.names.has(channel)) this.came(channel);
  }

  /** Before the first message of a channel, every group that reads it has its place. */
  async #makeReady(channel: string): Promise<void> {
    await this.roll.use(channel);
    const here = [...this.subscriptions].filter(({ spec }) => matchPattern(spec.pattern, channel));
    await Promise.all(here.map((subscription) => this.attachNew(subscription, channel)));
    if (this.roll.isReady(channel)) return;
    const placed = new Set(here.map(({ spec }) => spec.group));
    const others = this.roll.readersOf(channel).filter(({ group }) => !placed.has(group));
    await Promise.all(others.map((reader) => makePlace(this.inner, channel, reader)));
    await this.roll.makeReady(channel);
  }

  #checkStart({ from, group, pattern }: SubscriptionSpec): void {
    const { broadcast, replayByPosition, replayByTime } = this.below;
    if (group === null && !(broadcast && (replayByPosition || replayByTime))) {
      const message = `The broker '${this.inner.name}' cannot broadcast over the pattern '${pattern}', for which it would need broadcast and replay: subscribe with a group, or to one channel.`;
      throw new HeraldError("UNSUPPORTED", message, { details: { ability: "broadcast", pattern } });
    }
    if (typeof from !== "object" || !("position" in from)) return;
    const message = `A position is a place in one channel and '${pattern}' is a pattern: start at a time.`;
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
  }

  #adminOver(below: BrokerAdmin): BrokerAdmin {
    return new WildcardAdmin(below, {
      isInternal: (channel) => this.isInternal(channel),
      removed: async (channel) => {
        this.#channels.forget(channel);
        if (this.isActive) await this.roll.forget(channel);
      },
      drop: (pattern, group) => this.#drop(below, pattern, group),
    });
  }

  /** On every channel that the pattern covers and no other pattern of the group does. */
  async #drop(below: BrokerAdmin, pattern: string, group: string): Promise<void> {
    if (!this.isActive) return below.dropGroup?.(pattern, group);
    await this.roll.leave(pattern, group);
    const isRead = (channel: string) => this.roll.readersOf(channel).some((reader) => reader.group === group);
    const all = isWildcard(pattern) ? [...this.roll.names, ...(await below.list())] : [pattern];
    const covered = [...new Set(all)].filter((channel) => matchPattern(pattern, channel) && !isRead(channel));
    await Promise.all(covered.map(async (channel) => below.dropGroup?.(channel, group)));
  }
}

interface WildcardAdminHost {
  isInternal(channel: string): boolean;
  removed(channel: string): Promise<void>;
  drop(pattern: string, group: string): Promise<void>;
}

class WildcardAdmin extends HidingAdmin {
  readonly #host: WildcardAdminHost;

  constructor(below: BrokerAdmin, host: WildcardAdminHost) {
    super(below, (channel) => host.isInternal(channel));
    this.#host = host;
  }

  override async remove(channel: string): Promise<void> {
    await super.remove(channel);
    await this.#host.removed(channel);
  }

  protected override forget(pattern: string, group: string): Promise<void> {
    return this.#host.drop(pattern, group);
  }
}

interface WildcardParts {
  readonly broker: Broker;
  readonly keepMs: number;
  readonly host: GatheringHost;
}

/** One subscription to a pattern: one below for each channel that it covers. */
class WildcardSubscription extends FairGathering implements Watcher {
  readonly spec: SubscriptionSpec;
  readonly #broker: Broker;
  readonly #attached = new Once<string>();
  stopWatching: () => void = () => {};

  constructor(spec: SubscriptionSpec, { broker, keepMs, host }: WildcardParts) {
    super({ prefetch: spec.prefetch, keepMs }, host);
    this.spec = spec;
    this.#broker = broker;
  }

  /** Reads a channel, if the pattern covers it and it is not read yet. */
  attach(channel: string, from: StartFrom): Promise<void> {
    if (this.isClosed || !matchPattern(this.spec.pattern, channel)) return Promise.resolve();
    return this.#attached.do(channel, () => this.#attach(channel, from));
  }

  async #attach(channel: string, from: StartFrom): Promise<void> {
    await this.add(new Source(await this.#broker.subscribe({ ...this.spec, pattern: channel, from })));
  }
}
