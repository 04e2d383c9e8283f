import type { Subscription, SubscriptionSpec } from "../../core/broker.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { BroadcastSubscription, type BroadcastHost } from "./broadcast.ts";
import type { Catalog } from "./catalog.ts";
import { fromOf } from "./report.ts";
import { startsOf, type Start } from "./start-from.ts";

type Offsets = Readonly<Record<string, number>>;

/** The broadcast subscriptions of this process. */
export class Listeners {
  readonly #catalog: Catalog;
  readonly #host: Omit<BroadcastHost, "left">;
  readonly #byPattern = new PatternTrie<BroadcastSubscription>();
  readonly #all = new Set<BroadcastSubscription>();

  constructor(catalog: Catalog, host: Omit<BroadcastHost, "left">) {
    this.#catalog = catalog;
    this.#host = host;
  }

  async add(spec: SubscriptionSpec, start: Start): Promise<Subscription> {
    const { pattern, prefetch } = spec;
    const starts = await startsOf(this.#catalog, pattern, start);
    const closed = this.#host.closed();
    if (closed !== undefined) throw closed;
    const broadcast = new BroadcastSubscription(
      { pattern, prefetch, strict: spec.ordering === "strict" },
      { ...this.#host, left: (one) => this.#left(one) },
    );
    this.#byPattern.add(pattern, broadcast);
    this.#all.add(broadcast);
    const channels = this.#catalog.channelsOf(pattern);
    await Promise.all(
      channels.map((channel) => {
        const { topic } = this.#catalog.channels.homeOf(channel);
        return this.#tune(broadcast, channel, starts[topic]?.offsets);
      }),
    );
    return broadcast;
  }

  /** A channel is there. */
  appeared(channel: string): void {
    for (const broadcast of this.#byPattern.match(channel)) void this.#tune(broadcast, channel);
  }

  gone(channel: string): void {
    for (const broadcast of this.#byPattern.match(channel)) broadcast.detach(channel);
  }

  close(): void {
    for (const broadcast of this.#all) void broadcast.close();
  }

  async #tune(broadcast: BroadcastSubscription, channel: string, offsets: Offsets = {}): Promise<void> {
    const { channels, directory } = this.#catalog;
    const home = channels.homeOf(channel);
    for (const partition of this.#catalog.partitionsOf(home)) {
      if (!broadcast.claim(home, partition)) continue;
      const offset = Math.max(offsets[String(partition)] ?? 0, fromOf(directory, channel, partition));
      const isOnce = directory.channels.get(channel)?.once === true;
      const once = isOnce ? await this.#catalog.onceBefore(home, { partition, offset }) : undefined;
      broadcast.attach(home, { partition, offset }, once);
    }
  }

  #left(broadcast: BroadcastSubscription): void {
    this.#byPattern.remove(broadcast.pattern, broadcast);
    this.#all.delete(broadcast);
  }
}
