import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import type { Account } from "./channel-log.ts";
import type { GroupQueue } from "./group-queue.ts";
import type { MemorySettings } from "./options.ts";
import type { Topology } from "./topology.ts";

/** What looking after channels needs of the broker. */
export interface AdminHost {
  /** Counts what a channel retains by age against the broker's limits. */
  readonly account: Account;
  /** Ends what waits in a queue for a channel, or for all. */
  readonly empty: (queue: GroupQueue, channel?: string) => void;
}

/** Looks after the channels of one memory broker. What is handed out is left to its holder. */
export class MemoryAdmin implements BrokerAdmin {
  readonly #topology: Topology;
  readonly #settings: MemorySettings;
  readonly #host: AdminHost;

  constructor(topology: Topology, settings: MemorySettings, host: AdminHost) {
    this.#topology = topology;
    this.#settings = settings;
    this.#host = host;
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.#topology.channels.keys()]);
  }

  async declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    if (options.retentionMs === undefined) this.#topology.channel(channel);
    else this.#topology.retain(channel, options.retentionMs, this.#host.account);
  }

  async remove(channel: string): Promise<void> {
    await this.purge(channel);
    this.#topology.forget(channel);
  }

  async purge(channel: string): Promise<number> {
    const known = this.#topology.channels.get(channel);
    if (known === undefined) return 0;
    const { depth } = this.#topology.report(known);
    known.log.clear();
    for (const queue of this.#topology.queuesOf(channel)) this.#host.empty(queue, channel);
    return depth ?? 0;
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    const log = this.#topology.channels.get(channel)?.log;
    const found: StoredEnvelope[] = [];
    if (log === undefined || options.limit <= 0) return Promise.resolve(found);
    log.expire(this.#settings.clock.now());
    for (const { envelope, position } of log.after(Number(options.after ?? 0))) {
      found.push({ envelope, position });
      if (found.length >= options.limit) break;
    }
    return Promise.resolve(found);
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    const log = this.#topology.channels.get(channel)?.log;
    let erased = 0;
    for (const position of positions) if (log?.erase(Number(position)) === true) erased++;
    return Promise.resolve(erased);
  }

  async dropGroup(pattern: string, group: string): Promise<void> {
    const queue = this.#topology.dropGroup(pattern, group);
    if (queue === undefined) return;
    // What is handed out ends when it comes back.
    queue.gone = true;
    this.#host.empty(queue);
  }
}
