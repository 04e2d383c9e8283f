import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  StartFrom,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import type { Delivery } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import type { GatheringHost, Sifted } from "../shared/gathering.ts";
import { HandedOn } from "../shared/handed-on.ts";
import { unionOfChannels } from "../shared/reports.ts";
import { Source } from "../shared/source.ts";
import { placeText, startInBand } from "./band-places.ts";
import { Bands, fromBanded, isBand, toBanded } from "./bands.ts";
import type { EmulateOptions } from "./emulation.ts";
import { FirstUse } from "./first-use.ts";
import { Once } from "./once.ts";
import { makePlace } from "./places.ts";
import { PriorityAdmin } from "./priority-admin.ts";
import { publishPrepared } from "./publish-prepared.ts";
import { RankedGathering } from "./ranked-gathering.ts";
import { RollEmulation, type Watcher } from "./roll-emulation.ts";

/** Options of {@link withPriority}; all optional. */
export interface PriorityOptions extends EmulateOptions {
  /**
   * Into how many bands the hundred levels are put; within a band, first in, first out. Default 100: every level is told from
   * every other. Each band that is used is a channel of its own, and a subscription reads all of them: 4 tell the four names
   * apart (0–24, 25–49, 50–74, 75–99).
   */
  readonly bands?: number;
}

/**
 * Gives a broker priority: a channel for each band of levels, read the most urgent first. Messages with a partition key, and
 * dead letters, keep their order instead. Needs `admin`, else opening it rejects with `UNSUPPORTED`. Throws `INVALID_ARGUMENT`.
 */
export function withPriority(broker: Broker, options: PriorityOptions = {}): Broker {
  return new PriorityBroker(broker, options);
}

class PriorityBroker extends RollEmulation<PrioritySubscription> {
  declare readonly admin?: BrokerAdmin;
  readonly #bands: Bands;
  readonly #uses = new FirstUse((name) => this.#makeReady(name));

  constructor(inner: Broker, options: PriorityOptions) {
    super(inner, "priority", options);
    this.#bands = new Bands(options.bands ?? 100, this.prefix);
    if (inner.admin !== undefined)
      this.admin = new PriorityAdmin(inner.admin, {
        bands: this.#bands,
        isActive: () => this.isActive,
        isInternal: (channel) => this.isInternal(channel),
        inUse: () => this.#inUse(),
        keep: (channel, retentionMs) => this.roll.keep(channel, retentionMs),
        left: (pattern, group) => this.roll.leave(pattern, group),
      });
  }

  override async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    if (!this.isActive) return this.inner.publish(envelopes, options);
    this.checkOpen();
    const keepsKeys = this.below.ordering !== "none";
    const bands = envelopes.map((envelope) => this.#bands.bandFor(envelope, keepsKeys));
    const channels = envelopes.map(({ channel }, at) => this.#bands.channelOf(bands[at] as number, channel));
    const banded = envelopes.map((envelope, at) => toBanded(envelope, channels[at] ?? envelope.channel));
    const nameOf = (_banded: Envelope, at: number) => {
      const { channel } = envelopes[at] as Envelope;
      const band = bands[at] as number;
      if (channels[at] === undefined) return tooLong(channel);
      if (band === this.#bands.plain) return undefined;
      return this.roll.keptOf(channel) === undefined ? String(band) : `${band} ${channel}`;
    };
    const results = await publishPrepared(
      this.inner,
      { envelopes: banded, options },
      { uses: this.#uses, nameOf },
    );
    return results.map((result, at) => {
      if (!result.ok || result.position === null) return result;
      const { position, deduplicated, matched } = result;
      const place = { band: bands[at] as number, time: (envelopes[at] as Envelope).time, position };
      return { ok: true, position: placeText(place), deduplicated, matched };
    });
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (!this.isActive) return this.inner.subscribe(spec);
    this.checkOpen();
    checkSpec(spec);
    this.#checkStart(spec);
    startInBand(spec.from, this.#bands.plain);
    const subscription = new PrioritySubscription(spec, {
      broker: this.inner,
      bands: this.#bands,
      keepMs: this.keepMs,
      host: this.watcherHost,
    });
    return this.join(subscription, () => {
      const bands =
        spec.group === null && !this.canReplay ? [this.#bands.plain, ...this.#bands.others] : this.#inUse();
      return Promise.all(bands.map((band) => subscription.attach(band, startInBand(spec.from, band))));
    });
  }

  override async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (!this.isActive) return this.inner.inspect(query);
    const { channels } = query;
    const asked = channels?.flatMap((channel) =>
      this.#inUse().flatMap((band) => this.#bands.channelOf(band, channel) ?? []),
    );
    const report = await this.inner.inspect(asked === undefined ? {} : { channels: asked });
    const named = report.channels.map((entry) => ({
      ...entry,
      channel: this.#bands.parse(entry.channel)?.channel ?? entry.channel,
    }));
    return { ...report, channels: unionOfChannels(named.filter(({ channel }) => !this.isInternal(channel))) };
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    if (capabilities.priority) return capabilities;
    // A place in one band is a time in the others.
    const replayByPosition = capabilities.replayByPosition && capabilities.replayByTime;
    return { ...capabilities, priority: true, replayByPosition };
  }

  protected isLacking({ priority }: Capabilities): boolean {
    return !priority;
  }

  protected missing(): string[] {
    return this.inner.admin === undefined ? ["admin"] : [];
  }

  protected attach(subscription: PrioritySubscription, name: string, from: StartFrom): Promise<void> {
    const band = Number(name);
    return isBand(band) ? subscription.attach(band, from) : Promise.resolve();
  }

  #inUse(): readonly number[] {
    const used = [...this.roll.names].map(Number).filter((band) => isBand(band));
    return [...new Set([this.#bands.plain, ...used])].toSorted((a, b) => a - b);
  }

  /** Before the first message of a band, every group has its place in it; and where it is to be kept, it is. */
  async #makeReady(name: string): Promise<void> {
    const [band = "", channel] = name.split(" ");
    await this.roll.use(band);
    const here = [...this.subscriptions];
    await Promise.all(here.map((subscription) => this.attachNew(subscription, band)));
    if (!this.roll.isReady(band)) {
      const placed = new Set(here.map(({ spec }) => `${spec.pattern} ${spec.group}`));
      const others = [...this.roll.readers].filter(
        ({ pattern, group }) => !placed.has(`${pattern} ${group}`),
      );
      await Promise.all(
        others.map(async (reader) => {
          const pattern = this.#bands.channelOf(Number(band), reader.pattern);
          if (pattern !== undefined && !this.#bands.coversBands(reader.pattern))
            await makePlace(this.inner, pattern, reader);
        }),
      );
      await this.roll.makeReady(band);
    }
    const retentionMs = channel === undefined ? undefined : this.roll.keptOf(channel);
    const kept = channel === undefined ? undefined : this.#bands.channelOf(Number(band), channel);
    if (retentionMs !== undefined && kept !== undefined) await this.adminBelow.declare(kept, { retentionMs });
  }

  #checkStart({ from }: SubscriptionSpec): void {
    if (typeof from !== "object" || !("position" in from)) return;
    if (this.below.replayByPosition && this.below.replayByTime) return;
    const message = `The broker '${this.inner.name}' cannot start at a position with emulated priority, for which it would need replay by position and by time: start at an end.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { ability: "replayByPosition" } });
  }
}

interface PriorityParts {
  readonly broker: Broker;
  readonly bands: Bands;
  readonly keepMs: number;
  readonly host: GatheringHost;
}

/** One subscription: one below for each band that is in use. */
class PrioritySubscription extends RankedGathering implements Watcher {
  readonly spec: SubscriptionSpec;
  readonly #broker: Broker;
  readonly #bands: Bands;
  readonly #attached = new Once<number>();
  stopWatching: () => void = () => {};

  constructor(spec: SubscriptionSpec, { broker, bands, keepMs, host }: PriorityParts) {
    super({ prefetch: spec.prefetch, keepMs }, host);
    this.spec = spec;
    this.#broker = broker;
    this.#bands = bands;
  }

  /** Reads a band, if it is not read yet. */
  attach(band: number, from: StartFrom): Promise<void> {
    const pattern = this.#bands.channelOf(band, this.spec.pattern);
    const isRead = band !== this.#bands.plain && this.#bands.coversBands(this.spec.pattern);
    if (this.isClosed || pattern === undefined || isRead) return Promise.resolve();
    return this.#attached.do(band, () => this.#attach(band, { ...this.spec, pattern, from }));
  }

  protected override sift(_source: Source, delivery: Delivery): Sifted {
    const { envelope, position } = delivery;
    const parsed = this.#bands.parse(envelope.channel);
    const band = parsed?.band ?? this.#bands.plain;
    // The roll itself, which only a pattern that covers everything reads.
    if (parsed === undefined && envelope.channel.startsWith(this.#bands.prefix))
      return { kind: "ack", delivery };
    return new HandedOn(delivery, {
      envelope: fromBanded(envelope, parsed?.channel ?? envelope.channel),
      position: placeText({ band, time: envelope.time, position }),
    });
  }

  async #attach(band: number, spec: SubscriptionSpec): Promise<void> {
    await this.add(new Source(await this.#broker.subscribe(spec), { rank: band }));
  }
}

function tooLong(channel: string): HeraldError {
  const message = `The channel '${channel}' has so long a name that there is none left for its bands of priority: publish with the default priority, or shorten it.`;
  return new HeraldError("INVALID_CHANNEL", message, { details: { channel } });
}
