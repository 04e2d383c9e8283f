import { isWildcard, matchPattern } from "../../core/pattern.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";
import type { Topology } from "./topology.ts";

type Reading = readonly [pattern: string, group: string];

/** Who read what when the server was lost. */
interface Readers {
  /** By channel: those that read it by its name. */
  readonly named: ReadonlyMap<string, readonly Reading[]>;
  readonly wild: readonly Reading[];
}

const RETRY_MS = 50;
/** More channels than this are not remembered: they are looked after once more. */
const MOST_CHANNELS = 10_000;

/**
 * After the server was away: everything that reads a channel stands before the first message is published there. A server that
 * was killed may have forgotten what it had confirmed a moment before, and one that came back empty knows nothing; what is
 * published before its readers are back would be confirmed, and be nowhere.
 */
export class Standing {
  readonly #session: Session;
  readonly #registry: Registry;
  readonly #topology: Topology;
  readonly #off: () => void;
  #readers: Readers | undefined;
  /** `true`: it is looked after. */
  readonly #channels = new Map<string, Promise<void> | true>();
  readonly #pauses = new Set<{ readonly cut: () => void }>();

  constructor(parts: {
    readonly session: Session;
    readonly registry: Registry;
    readonly topology: Topology;
  }) {
    this.#session = parts.session;
    this.#registry = parts.registry;
    this.#topology = parts.topology;
    this.#off = parts.session.links.publishing.onDown(() => {
      this.#readers = undefined;
      this.#channels.clear();
    });
  }

  /** Whoever waits is told soon. */
  close(): void {
    this.#off();
    for (const pause of this.#pauses) pause.cut();
  }

  /** Undefined: nothing to wait for. Rejects when it cannot be looked after in time; it is tried again with the next message. */
  ready(channel: string): Promise<void> | undefined {
    if (!this.#session.links.publishing.wasAway) return undefined;
    const known = this.#channels.get(channel);
    if (known === true) return undefined;
    return known ?? this.#begin(channel);
  }

  #begin(channel: string): Promise<void> {
    if (this.#channels.size >= MOST_CHANNELS) this.#channels.clear();
    const making = this.#make(channel);
    this.#channels.set(channel, making);
    making.then(
      () => {
        if (this.#channels.get(channel) === making) this.#channels.set(channel, true);
      },
      () => {
        if (this.#channels.get(channel) === making) this.#channels.delete(channel);
      },
    );
    return making;
  }

  /** A server that has only begun does not serve everything yet. */
  async #make(channel: string): Promise<void> {
    const { links, timers, settings } = this.#session;
    const until = timers.monotonic() + settings.commandTimeoutMs;
    for (;;) {
      try {
        await this.#once(channel);
        return;
      } catch (error) {
        if (!links.publishing.isUp || this.#session.isClosed || timers.monotonic() >= until) throw error;
        const pause = timers.pause(RETRY_MS);
        this.#pauses.add(pause);
        await pause.over;
        this.#pauses.delete(pause);
      }
    }
  }

  async #once(channel: string): Promise<void> {
    const { names } = this.#session;
    this.#readers ??= readersOf(this.#registry);
    const { named, wild } = this.#readers;
    const made = [
      ...(named.get(channel) ?? []),
      ...wild.filter(([pattern]) => matchPattern(pattern, channel)),
    ]
      // A group may have been dropped since.
      .filter(([pattern, group]) => this.#registry.isRead(pattern, group))
      .map(([pattern, group]) => this.#topology.group(names.group(pattern, group), pattern));
    if (this.#registry.declared.has(channel)) made.push(this.#topology.retain(channel));
    await Promise.all(made);
  }
}

function readersOf(registry: Registry): Readers {
  const readers = [...registry.readers()];
  const named = readers.filter(([pattern]) => !isWildcard(pattern));
  return {
    named: Map.groupBy(named, ([pattern]) => pattern),
    wild: readers.filter(([pattern]) => isWildcard(pattern)),
  };
}
