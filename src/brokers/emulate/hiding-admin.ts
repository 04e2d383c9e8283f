import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";

/** Hands everything on to the admin of the broker below, but for channels that are the wrapper's own: they are not there. */
export class HidingAdmin implements BrokerAdmin {
  readonly dropGroup?: (pattern: string, group: string) => Promise<void>;
  protected readonly below: BrokerAdmin;
  protected readonly isInternal: (channel: string) => boolean;

  constructor(below: BrokerAdmin, isInternal: (channel: string) => boolean) {
    this.below = below;
    this.isInternal = isInternal;
    if (below.dropGroup !== undefined) this.dropGroup = (pattern, group) => this.forget(pattern, group);
  }

  async list(): Promise<readonly string[]> {
    return (await this.below.list()).filter((channel) => !this.isInternal(channel));
  }

  declare(channel: string, options?: ChannelOptions): Promise<void> {
    return this.below.declare(channel, options);
  }

  remove(channel: string): Promise<void> {
    return this.below.remove(channel);
  }

  purge(channel: string): Promise<number> {
    return this.below.purge(channel);
  }

  async browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return this.isInternal(channel) ? [] : this.below.browse(channel, options);
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return this.below.erase(channel, positions);
  }

  /** As {@link BrokerAdmin.dropGroup}, where the broker below can. */
  protected async forget(pattern: string, group: string): Promise<void> {
    await this.below.dropGroup?.(pattern, group);
  }
}
