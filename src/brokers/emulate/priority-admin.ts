import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { parsePlace, placeText } from "./band-places.ts";
import { fromBanded, type Bands } from "./bands.ts";
import { HidingAdmin } from "./hiding-admin.ts";

/** What looking after channels needs of the broker with priority. */
export interface PriorityAdminHost {
  readonly bands: Bands;
  isActive(): boolean;
  isInternal(channel: string): boolean;
  /** Bands in use, the most urgent first, the plain one among them. */
  inUse(): readonly number[];
  /** Bands that come into use later keep for as long. */
  keep(channel: string, retentionMs: number): Promise<void>;
  left(pattern: string, group: string): Promise<void>;
}

/** Looks after a channel with all of its bands; what it holds is shown band by band, the oldest of each first. */
export class PriorityAdmin extends HidingAdmin {
  readonly #host: PriorityAdminHost;

  constructor(below: BrokerAdmin, host: PriorityAdminHost) {
    super(below, (channel) => host.isInternal(channel));
    this.#host = host;
  }

  override async list(): Promise<readonly string[]> {
    const { bands } = this.#host;
    const names = (await this.below.list()).map((name) => bands.parse(name)?.channel ?? name);
    return [...new Set(names)].filter((name) => !this.isInternal(name));
  }

  override async declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    const { retentionMs } = options;
    if (retentionMs !== undefined && this.#host.isActive()) await this.#host.keep(channel, retentionMs);
    await this.below.declare(channel, options);
    await Promise.all(this.#others(channel).map(({ name }) => this.below.declare(name, options)));
  }

  override async remove(channel: string): Promise<void> {
    await Promise.all(this.#all(channel).map(({ name }) => this.below.remove(name)));
  }

  override async purge(channel: string): Promise<number> {
    const purged = await Promise.all(this.#all(channel).map(({ name }) => this.below.purge(name)));
    return purged.reduce((sum, count) => sum + count, 0);
  }

  override async browse(
    channel: string,
    { after, limit }: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    if (!this.#host.isActive())
      return super.browse(channel, { limit, ...(after === undefined ? {} : { after }) });
    const place = after === undefined ? undefined : parsePlace(after);
    if (after !== undefined && place === undefined) return [];
    const all = this.#all(channel);
    const begin = place === undefined ? 0 : all.findIndex(({ band }) => band === place.band);
    const found: StoredEnvelope[] = [];
    for (const { band, name } of begin < 0 ? [] : all.slice(begin)) {
      if (found.length >= limit) break;
      const own = place?.band === band ? { after: place.position } : {};
      for (const { envelope, position } of await this.below.browse(name, {
        limit: limit - found.length,
        ...own,
      }))
        found.push({
          envelope: fromBanded(envelope, channel),
          position: placeText({ band, time: envelope.time, position }),
        });
    }
    return found;
  }

  override async erase(channel: string, positions: readonly string[]): Promise<number> {
    if (!this.#host.isActive()) return super.erase(channel, positions);
    const places = positions.flatMap((position) => parsePlace(position) ?? []);
    let erased = 0;
    for (const { band, name } of this.#all(channel)) {
      const own = places.filter((place) => place.band === band).map(({ position }) => position);
      if (own.length > 0) erased += await this.below.erase(name, own);
    }
    return erased;
  }

  protected override async forget(pattern: string, group: string): Promise<void> {
    if (this.#host.isActive()) await this.#host.left(pattern, group);
    await Promise.all(this.#all(pattern).map(async ({ name }) => this.below.dropGroup?.(name, group)));
  }

  #others(channel: string): readonly { readonly band: number; readonly name: string }[] {
    return this.#all(channel).filter(({ band }) => band !== this.#host.bands.plain);
  }

  #all(channel: string): readonly { readonly band: number; readonly name: string }[] {
    const { bands } = this.#host;
    return this.#host.inUse().flatMap((band) => {
      const name = bands.channelOf(band, channel);
      return name === undefined ? [] : [{ band, name }];
    });
  }
}
