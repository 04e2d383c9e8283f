import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { checkChannel, checkPattern, isWildcard } from "../../core/pattern.ts";
import { rabbitError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/** Looks after the channels of one namespace. A channel that is declared is retained, in a stream beside its queues. */
export class RabbitAdmin implements BrokerAdmin {
  readonly #runtime: () => Runtime;

  /** `runtime` throws `CLOSED` while the broker is not open. */
  constructor(runtime: () => Runtime) {
    this.#runtime = runtime;
  }

  list(): Promise<readonly string[]> {
    return this.#guard(async ({ registry }) => {
      const found = new Set(registry.declared);
      for (const [pattern] of registry.readers()) if (!isWildcard(pattern)) found.add(pattern);
      return [...found].toSorted();
    });
  }

  /** A channel that is retained already stays as it is kept: a stream cannot be changed. */
  declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    return this.#guard(async ({ topology, registry }) => {
      checkChannel(channel);
      if (registry.declared.has(channel)) return;
      await topology.retain(channel, options.retentionMs);
      await registry.tell({ op: "declared", channel });
    });
  }

  remove(channel: string): Promise<void> {
    return this.#guard(async (runtime) => {
      const { topology, registry, session } = runtime;
      await this.#purge(runtime, channel);
      if (!registry.declared.has(channel) && this.#groups(runtime, channel).length === 0) return;
      await registry.tell({ op: "removed", channel });
      await topology.remove(session.names.retained(channel));
    });
  }

  purge(channel: string): Promise<number> {
    return this.#guard((runtime) => this.#purge(runtime, channel));
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return this.#guard(async ({ retained }) => {
      checkChannel(channel);
      return retained.read(channel, offsetOf(options.after), options.limit);
    });
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return this.#guard(async ({ retained, registry }) => {
      checkChannel(channel);
      const there: string[] = [];
      for (const position of new Set(positions)) {
        const offset = offsetOf(position);
        if (offset < 0) continue;
        const [found] = await retained.read(channel, offset - 1, 1);
        if (found?.position === position) there.push(position);
      }
      if (there.length > 0) await registry.tell({ op: "erased", channel, positions: there });
      return there.length;
    });
  }

  dropGroup(pattern: string, group: string): Promise<void> {
    return this.#guard(async ({ topology, registry, session }) => {
      checkPattern(pattern);
      if (!registry.isRead(pattern, group)) return;
      await registry.tell({ op: "dropped", pattern, group });
      await topology.remove(session.names.group(pattern, group));
    });
  }

  #groups({ registry }: Runtime, channel: string): string[] {
    return [...registry.readers()].filter(([pattern]) => pattern === channel).map(([, group]) => group);
  }

  /** What the groups have not read goes, and what is retained. */
  async #purge(runtime: Runtime, channel: string): Promise<number> {
    checkChannel(channel);
    const { topology, registry, retained, session } = runtime;
    let most = 0;
    const left = await retained.read(channel, -1, Infinity);
    const last = left.at(-1);
    if (last !== undefined) {
      most = left.length;
      await registry.tell({ op: "purged", channel, upTo: Number(last.position) });
    }
    for (const group of this.#groups(runtime, channel))
      most = Math.max(most, await topology.purge(session.names.group(channel, group)));
    return most;
  }

  async #guard<T>(call: (runtime: Runtime) => Promise<T>): Promise<T> {
    const runtime = this.#runtime();
    try {
      return await call(runtime);
    } catch (error) {
      throw rabbitError(error);
    }
  }
}

/** The offset that a position names; -1: it names none. */
function offsetOf(position: string | undefined): number {
  return position !== undefined && /^\d{1,15}$/.test(position) ? Number(position) : -1;
}
