import type { Cluster } from "./cluster.ts";
import type { Home } from "./channels.ts";
import type { Fetched } from "./fetched.ts";
import { endsOf, offsetAt } from "./offsets.ts";
import { scan } from "./scan.ts";

interface Seen {
  readonly offset: number;
  readonly storedAt: number;
}

/**
 * Recognises, in one partition, ids that are stored again within a window of the last time: the first in the log is the message, what
 * comes after it is none. So a message whose handling is repeated for longer than a window, because it dies again and again beside one
 * that kills its process, still has each of its outputs once. Everybody who reads the log comes to the same answer: whoever begins
 * in the middle has seen what lies a window before. Two generations: what is older than two windows is gone.
 */
export class Once {
  readonly #windowMs: number;
  // Made when they are needed: most inboxes never see an id twice, and there are many.
  #current: Map<string, Seen> | undefined;
  #previous: Map<string, Seen> | undefined;
  #turnedAt = -Infinity;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Is it a repeat? Records are shown in the order of their offsets; one may be shown again. */
  isRepeat(record: Fetched): boolean {
    const id = record.onceId;
    if (id === undefined) return false;
    this.#turn(record.storedAt);
    const seen = this.#current?.get(id) ?? this.#previous?.get(id);
    const isKnown = seen !== undefined && record.storedAt - seen.storedAt <= this.#windowMs;
    // One that is shown again.
    if (isKnown && record.offset <= seen.offset) return false;
    const offset = isKnown ? seen.offset : record.offset;
    const storedAt = isKnown ? Math.max(seen.storedAt, record.storedAt) : record.storedAt;
    this.#current ??= new Map();
    this.#current.set(id, { offset, storedAt });
    return isKnown;
  }

  #turn(now: number): void {
    if (this.#turnedAt === -Infinity) this.#turnedAt = now;
    if (now - this.#turnedAt < this.#windowMs) return;
    this.#previous = now - this.#turnedAt < 2 * this.#windowMs ? this.#current : undefined;
    this.#current = undefined;
    this.#turnedAt = now;
  }
}

/** What is known of a partition by whoever reads on at an offset: what was stored within a window before it. */
export async function onceBefore(
  cluster: Cluster,
  home: Home,
  place: { readonly partition: number; readonly offset: number },
): Promise<Once> {
  const { dedupeWindowMs } = cluster.settings;
  const once = new Once(dedupeWindowMs);
  const part = { topic: home.topic, partition: place.partition };
  const { end } = await endsOf(cluster, part.topic, part.partition);
  // What was lost beyond the end cannot be read.
  const to = Math.min(place.offset, end);
  let storedAt: number | undefined;
  await scan(cluster, { ...part, from: to, to: end }, (record) => {
    storedAt = record.storedAt;
    return false;
  });
  const since = Math.max(0, (storedAt ?? cluster.clock.now()) - dedupeWindowMs);
  const from = (await offsetAt(cluster, part, since)) ?? to;
  await scan(cluster, { ...part, from, to }, (record) => {
    if (!home.shared || record.channel === home.channel) once.isRepeat(record);
    return true;
  });
  return once;
}
