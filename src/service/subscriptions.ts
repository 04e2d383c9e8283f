import { createId } from "../core/ids.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import { isWildcard, matchPattern, patternsOverlap } from "../core/pattern.ts";
import type { Consumer } from "../delivery/consumer.ts";
import { currentDelivery } from "../delivery/context.ts";
import { listen } from "./listener.ts";
import type { Listening, SubscriptionHandle } from "./options.ts";
import { notRunning, type Runtime } from "./runtime.ts";

interface Standing {
  readonly handle: SubscriptionHandle;
  readonly ending: AbortController;
  /** True for the agent's own group. */
  readonly own: boolean;
  /** Undefined until the broker has answered. */
  readonly consumer: Consumer | undefined;
}

/** The subscriptions of one run of a service. */
export class Subscriptions {
  readonly #standing = new Map<string, Standing>();
  /** Patterns read under the agent's own group: exact ones, and those with wildcards. */
  readonly #exact = new Set<string>();
  readonly #wildcards = new Set<string>();
  #draining = false;

  get size(): number {
    return this.#standing.size;
  }

  list(): SubscriptionHandle[] {
    return [...this.#standing.values()].map(({ handle }) => handle);
  }

  /** Monotonic milliseconds when one of them last got something to do after it had had nothing. */
  get busySince(): number {
    return [...this.#standing.values()].reduce(
      (latest, { consumer }) => Math.max(latest, consumer?.busySince ?? -Infinity),
      -Infinity,
    );
  }

  /** Starts one. Its group: as asked, else the agent's id, so that replicas share and different agents each get a copy. */
  async add(runtime: Runtime, listening: Listening): Promise<SubscriptionHandle> {
    const { pattern, options } = listening;
    if (this.#draining) throw notRunning(runtime.settings.agentId);
    const { signal } = options;
    const hasFired = (): boolean => signal?.aborted === true;
    if (hasFired()) throw cancelled(pattern);
    const group =
      options.group === undefined ? this.#ownGroup(runtime.settings.agentId, pattern) : options.group;
    const id = createId();
    let leaving: Promise<void> | undefined;
    let consumer: Consumer | undefined;
    const { gracePeriodMs } = runtime.settings;
    const unsubscribe = (how: { readonly gracePeriodMs?: number } = {}): Promise<void> => {
      leaving ??= this.#remove(id, how.gracePeriodMs ?? gracePeriodMs);
      // Asked for by a handler of its own: waiting for that handler's end would be waiting for oneself.
      return consumer !== undefined && currentDelivery.getStore()?.consumer === consumer
        ? Promise.resolve()
        : leaving;
    };
    const ending = new AbortController();
    const handle = {
      id,
      channel: pattern,
      group,
      signal: ending.signal,
      pause: () => consumer?.pause(),
      resume: () => consumer?.resume(),
      unsubscribe,
      [Symbol.asyncDispose]: () => unsubscribe(),
    };
    // Taken before the broker answers, so that two calls at once do not choose one group.
    const own = group === runtime.settings.agentId;
    this.#standing.set(id, { handle, ending, own, consumer: undefined });
    if (own) this.#patterns(pattern).add(pattern);
    try {
      consumer = await listen(runtime, listening, group);
      if (this.#standing.has(id)) this.#standing.set(id, { handle, ending, own, consumer });
      else await consumer.drain(0);
    } catch (error) {
      this.#forget(id);
      throw error;
    }
    // It may have fired while the broker was asked.
    if (hasFired()) {
      await unsubscribe();
      throw cancelled(pattern);
    }
    signal?.addEventListener("abort", () => void unsubscribe(), { once: true, signal: ending.signal });
    return handle;
  }

  /** By id, by handle, or every one of a channel. `NOT_FOUND` when there is none. */
  async unsubscribe(which: string | SubscriptionHandle): Promise<void> {
    const id =
      typeof which === "string" ? which : (which as Partial<SubscriptionHandle> | null | undefined)?.id;
    const handles = this.list().filter((handle) => handle.id === id || handle.channel === id);
    if (handles.length === 0) {
      throw new HeraldError(
        "NOT_FOUND",
        `There is no subscription ${showValue(id)}: give its id, its channel, or what subscribe() resolved to.`,
      );
    }
    await Promise.all(handles.map((handle) => handle.unsubscribe()));
  }

  /** Drains all of them, and takes no more; resolves to how many handlers had to be aborted. */
  async drain(graceMs: number): Promise<number> {
    this.#draining = true;
    const standing = [...this.#standing.values()];
    this.#standing.clear();
    this.#exact.clear();
    this.#wildcards.clear();
    for (const { ending } of standing) ending.abort();
    const abandoned = await Promise.all(
      standing.map(({ consumer }) => consumer?.drain(graceMs) ?? Promise.resolve(0)),
    );
    return abandoned.reduce((sum, count) => sum + count, 0);
  }

  async #remove(id: string, graceMs: number): Promise<void> {
    await this.#forget(id)?.drain(graceMs);
  }

  #forget(id: string): Consumer | undefined {
    const standing = this.#standing.get(id);
    if (standing === undefined) return undefined;
    this.#standing.delete(id);
    standing.ending.abort();
    if (standing.own) this.#patterns(standing.handle.channel).delete(standing.handle.channel);
    return standing.consumer;
  }

  #patterns(pattern: string): Set<string> {
    return isWildcard(pattern) ? this.#wildcards : this.#exact;
  }

  /** A second handler of one agent on the same messages gets copies of its own, not half of the first one's. */
  #ownGroup(agentId: string, pattern: string): string {
    if (!this.#overlaps(pattern)) return agentId;
    const taken = new Set(this.list().map((handle) => handle.group));
    for (let n = 2; ; n++) if (!taken.has(`${agentId}:${n}`)) return `${agentId}:${n}`;
  }

  #overlaps(pattern: string): boolean {
    if (this.#exact.has(pattern)) return true;
    for (const other of this.#wildcards) if (patternsOverlap(other, pattern)) return true;
    if (isWildcard(pattern)) for (const other of this.#exact) if (matchPattern(pattern, other)) return true;
    return false;
  }
}

function cancelled(pattern: string): HeraldError {
  return new HeraldError("CANCELLED", `The signal for '${pattern}' had fired before it was subscribed.`, {
    details: { channel: pattern },
  });
}
