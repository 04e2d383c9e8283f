import type { Broker, PublishResult, Subscription } from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import { isDeadLetterChannel } from "../../core/names.ts";
import type { TimeLimits } from "./deadline.ts";
import type { DrainLock } from "./drain-lock.ts";
import { fromSpoolEntry, isRepeat, toHandedOver, toPlain, type SpoolEntry } from "./handover.ts";
import { isOutage } from "./outage.ts";
import type { Registry } from "./registry.ts";

/** What the drainer needs of the rest. */
export interface DrainHost {
  readonly primary: Broker;
  readonly fallback: Broker;
  readonly registry: Registry;
  readonly limits: TimeLimits;
  /** Milliseconds that the primary has for one batch. */
  readonly deadlineMs: number;
  readonly dedupe: boolean;
  readonly maxBatch: number;
  /** The primary failed; the drainer rests until it is woken. */
  primaryFailed(error: HeraldError): void;
  /** Something cannot be handed over as it is; it stays, and is tried again after a while. */
  stuck(envelope: Envelope, error: HeraldError): void;
  fault(error: HeraldError): void;
}

interface Copy {
  readonly delivery: Delivery;
  readonly entry: SpoolEntry;
}

/** The group on the fallback that everything is drained through. */
export const DRAIN_GROUP = "failover.drain";
export const DRAIN_PREFETCH = 4000;
/** Handed over at once. */
const BATCH = 2000;
const WAIT_MS = 30_000;
/** How soon a drainer that has nothing to do finds out that the primary is away. */
const LOOK_MS = 1000;
const PAUSE_MS = 250;
const PAGE = 500;
/** A message that the primary refuses for good is looked at again after this long. */
const STUCK_MS = 60_000;

/**
 * Hands to the primary what was written on the fallback: copied with `dedupe`, taken out of the dead letters, then marked
 * as done on the fallback. Killed after any of these steps it begins again with the same messages, and the primary
 * recognises them. Messages of one key go one after another.
 */
export class Drainer {
  readonly #host: DrainHost;
  readonly #subscription: Subscription;
  readonly #lock: DrainLock;
  #wake: (() => void) | undefined;
  #isAwake = false;
  #stopped = false;
  #loop: Promise<void> | undefined;
  #drained = 0;
  readonly #letters = new Map<string, ReadonlySet<string>>();

  constructor(parts: { readonly subscription: Subscription; readonly lock: DrainLock }, host: DrainHost) {
    this.#subscription = parts.subscription;
    this.#lock = parts.lock;
    this.#host = host;
  }

  /** Messages handed over since it was made. */
  get drained(): number {
    return this.#drained;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** The primary is there, or is not. */
  setAwake(isAwake: boolean): void {
    this.#isAwake = isAwake;
    if (isAwake) this.#wake?.();
  }

  /** Ends after the batch in hand. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#subscription.close();
    await this.#lock.close();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (!this.#isAwake) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      try {
        if (await this.#lock.acquire(WAIT_MS)) await this.#drainWhileHeld();
      } catch (error) {
        if (this.#stopped) return;
        this.#host.fault(toHeraldError(error));
        await this.#pause();
      }
    }
  }

  /**
   * While one batch is on its way the next is read. A drainer that cannot reach the primary gives the lock away: another
   * process may.
   */
  async #drainWhileHeld(): Promise<void> {
    let next: Promise<readonly Delivery[]> | undefined;
    try {
      while (!this.#stopped && this.#isAwake && this.#lock.isHeld) {
        const deliveries = await (next ?? this.#subscription.receive(BATCH, LOOK_MS));
        next = undefined;
        if (deliveries.length === 0) continue;
        next = this.#subscription.receive(BATCH, LOOK_MS);
        // Whoever awaits it below is told; until then it must not count as unheard.
        next.catch(() => {});
        await this.#handOver(deliveries);
      }
    } finally {
      const unsent = (await next?.catch(() => undefined)) ?? [];
      if (unsent.length > 0)
        await this.#subscription.settle(
          unsent.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })),
        );
      await this.#lock.release();
    }
  }

  async #handOver(deliveries: readonly Delivery[]): Promise<void> {
    const settlements: Settlement[] = [];
    try {
      await this.#host.registry.refresh();
      for (let from = 0; from < deliveries.length && this.#isAwake; from += this.#host.maxBatch)
        settlements.push(...(await this.#copy(deliveries.slice(from, from + this.#host.maxBatch))));
    } finally {
      const told = new Set(settlements.map(({ delivery }) => delivery));
      for (const delivery of deliveries)
        if (!told.has(delivery)) settlements.push({ kind: "release", delivery, delayMs: 0 });
      await this.#subscription.settle(settlements);
    }
  }

  async #copy(deliveries: readonly Delivery[]): Promise<Settlement[]> {
    const copies = deliveries.map((delivery) => ({ delivery, entry: fromSpoolEntry(delivery.envelope) }));
    try {
      const { repeats = [], ordinary = [] } = Object.groupBy(copies, ({ entry }) =>
        isRepeat(entry.envelope) ? "repeats" : "ordinary",
      );
      const results = new Map<Delivery, PublishResult | undefined>();
      await this.#publish(ordinary, this.#host.dedupe, results);
      await this.#publish(await this.#missing(repeats), false, results);
      await this.#eraseDeadLetters(copies, results);
      return copies.map((copy) => this.#outcome(copy, results.get(copy.delivery)));
    } catch (thrown) {
      const error = toHeraldError(thrown);
      if (isOutage(error)) this.#rest(error);
      else this.#host.fault(error);
      return deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 }));
    }
  }

  async #publish(
    copies: readonly Copy[],
    dedupe: boolean,
    results: Map<Delivery, PublishResult | undefined>,
  ): Promise<void> {
    if (copies.length === 0) return;
    const { primary, registry, limits, deadlineMs } = this.#host;
    const { store } = registry;
    const envelopes = copies.map(({ entry: { envelope, at } }) =>
      toHandedOver(envelope, { store, at, groups: registry.groupsOf(envelope.channel, at) }),
    );
    const answers = await limits.within(primary.publish(envelopes, { dedupe }), deadlineMs, "a hand-over");
    for (const [at, { delivery }] of copies.entries()) results.set(delivery, answers[at]);
  }

  /** Without dead letters that an earlier drainer has copied, and not marked. */
  async #missing(copies: readonly Copy[]): Promise<readonly Copy[]> {
    const missing: Copy[] = [];
    for (const copy of copies) {
      const { envelope } = copy.entry;
      if (!isDeadLetterChannel(envelope.channel)) missing.push(copy);
      else if (!(await this.#lettersOf(envelope.channel)).has(letterOf(envelope))) missing.push(copy);
    }
    return missing;
  }

  /** Dead letters that the primary had when the first of a channel was drained: those that were copied since are settled. */
  async #lettersOf(channel: string): Promise<ReadonlySet<string>> {
    const known = this.#letters.get(channel);
    if (known !== undefined) return known;
    const { primary, limits, deadlineMs } = this.#host;
    const letters = new Set<string>();
    for (let after: string | undefined; ;) {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const page = await limits.within(
        primary.admin?.browse(channel, options) ?? Promise.resolve([]),
        deadlineMs,
        "a browse",
      );
      for (const { envelope } of page) letters.add(letterOf(envelope));
      if (page.length < PAGE) break;
      after = page.at(-1)?.position;
    }
    this.#letters.set(channel, letters);
    return letters;
  }

  #outcome({ delivery, entry }: Copy, result: PublishResult | undefined): Settlement {
    if (result === undefined || result.ok) {
      this.#drained++;
      return { kind: "ack", delivery };
    }
    if (isOutage(result.error) || result.error.code === "OVERLOADED") {
      this.#rest(result.error);
      return { kind: "release", delivery, delayMs: 0 };
    }
    this.#host.stuck(entry.envelope, result.error);
    return { kind: "release", delivery, delayMs: STUCK_MS };
  }

  /** A dead letter is looked at, not subscribed to: it must lie in one place only. */
  async #eraseDeadLetters(
    copies: readonly Copy[],
    results: ReadonlyMap<Delivery, PublishResult | undefined>,
  ): Promise<void> {
    for (const { delivery, entry } of copies) {
      const { channel } = entry.envelope;
      const isThere = results.get(delivery)?.ok !== false;
      if (!isThere || entry.position === undefined || !isDeadLetterChannel(channel)) continue;
      await this.#host.fallback.admin?.erase(channel, [entry.position]);
    }
  }

  #rest(error: HeraldError): void {
    this.#isAwake = false;
    // What was on its way may have been stored.
    this.#letters.clear();
    this.#host.primaryFailed(error);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#host.limits.after(PAUSE_MS, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Tells dead letters of one message apart: every group and every time it was given up on has its own. */
function letterOf(envelope: Envelope): string {
  const { id, headers } = toPlain(envelope);
  return `${id} ${JSON.stringify(headers, Object.keys(headers).toSorted())}`;
}
