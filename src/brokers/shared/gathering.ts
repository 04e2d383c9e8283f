import type { Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { isHeraldError, toHeraldError, type HeraldError } from "../../core/errors.ts";
import { Source, type Item } from "./source.ts";
import type { Later, Timers } from "./timers.ts";

/** What a gathering needs of its broker. */
export interface GatheringHost {
  readonly timers: Timers;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
  left(gathering: Gathering): void;
  /** Something failed that no caller waits for. */
  fault(error: HeraldError, where: string): void;
}

/** How a gathering hands out. */
export interface GatheringOptions {
  /** Never more than this many handed out and unsettled. */
  readonly prefetch: number;
  /** What came while nobody asked goes back after this long, so that others of the group get it. */
  readonly keepMs: number;
}

/** What becomes of a delivery that a source brings: handed out so, settled without being handed out, or kept by who decided. */
export type Sifted = Delivery | Settlement | undefined;

/** How long what nobody took stays in hand, before it goes back. */
const KEEP_MS = 100;
/** The same where going back counts as an attempt. */
const KEEP_COUNTED_MS = 2000;

/** The usual {@link GatheringOptions.keepMs} over brokers that count attempts exactly, or do not. */
export function keepMsOf(exactAttempts: boolean): number {
  return exactAttempts ? KEEP_MS : KEEP_COUNTED_MS;
}

const NOTHING: readonly Delivery[] = Object.freeze([]);
/** A source that answered with nothing is asked again after this long. */
const PAUSE_MS = 50;
/** After these what was asked for has not happened. */
const REFUSALS: ReadonlySet<string> = new Set(["UNSUPPORTED", "INVALID_ARGUMENT"]);

/**
 * Several subscriptions read as one. How they are asked is for the class below to say; here stands what holds for all: who
 * holds what, where it is settled, and that what nobody took goes back.
 */
export abstract class Gathering implements Subscription {
  protected readonly host: GatheringHost;
  protected readonly sources = new Set<Source>();
  readonly #options: GatheringOptions;
  readonly #out = new Map<Delivery, Item>();
  #buffered = 0;
  #isReceiving = false;
  #wake: (() => void) | undefined;
  #isAwake = false;
  #keeping: Later | undefined;
  #closed = false;

  constructor(options: GatheringOptions, host: GatheringHost) {
    this.#options = options;
    this.host = host;
  }

  /** True once it is closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** How many deliveries it may still hand out. */
  protected get free(): number {
    return this.#options.prefetch - this.#out.size;
  }

  /** The part of that which is not in hand already. */
  protected get room(): number {
    return this.free - this.#buffered;
  }

  /** Reads one more. A closed gathering closes what comes too late. */
  async add(source: Source): Promise<void> {
    if (this.#closed) return source.subscription.close();
    this.sources.add(source);
    this.wake();
  }

  /** Reads one less; what came from it may still be settled. */
  async drop(source: Source): Promise<void> {
    this.sources.delete(source);
    await this.#giveBack([source]);
    await source.subscription.close();
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#isReceiving) throw waitsAlready();
    if (this.#closed) return this.#over();
    if (limit <= 0) return NOTHING;
    this.#isReceiving = true;
    this.#keeping?.cancel();
    this.#keeping = undefined;
    this.asked();
    try {
      return await this.#receive(limit, waitMs);
    } finally {
      this.#isReceiving = false;
      this.#keepBuffered();
    }
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    const bySource = new Map<Source, { readonly items: Item[]; readonly list: Settlement[] }>();
    for (const settlement of settlements) {
      const item = this.#out.get(settlement.delivery);
      if (item === undefined) continue;
      if (settlement.kind !== "extend") this.#out.delete(settlement.delivery);
      let group = bySource.get(item.source);
      if (group === undefined) bySource.set(item.source, (group = { items: [], list: [] }));
      group.items.push(item);
      group.list.push(item.own === settlement.delivery ? settlement : { ...settlement, delivery: item.own });
    }
    this.wake();
    const sent = [...bySource].map(([source, group]) => this.#settleThere(source, group));
    for (const result of await Promise.allSettled(sent))
      if (result.status === "rejected") throw result.reason;
  }

  async giveBackUnread(): Promise<void> {
    this.gaveBack();
    await this.#giveBack(this.sources);
    await Promise.all([...this.sources].map(async ({ subscription }) => subscription.giveBackUnread?.()));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.wake();
    this.#keeping?.cancel();
    this.host.left(this);
    const sources = [...this.sources];
    await Promise.all([this.#giveBack(sources), ...sources.map(({ subscription }) => subscription.close())]);
  }

  /** Asks the sources; resolves to what can be handed out now. `leftMs` 0: without waiting for what may come. */
  protected abstract gather(limit: number, leftMs: number): Promise<readonly Delivery[]>;

  /** Somebody asks. */
  protected asked(): void {}

  /** Nobody has asked for so long that what was in hand goes back. */
  protected gaveBack(): void {}

  /** Decides what becomes of a delivery. */
  protected sift(_source: Source, delivery: Delivery): Sifted {
    return delivery;
  }

  /** Whoever waits looks again. */
  protected wake(): void {
    this.#isAwake = true;
    this.#wake?.();
  }

  /** May it be asked now? */
  protected canAsk(source: Source): boolean {
    return !source.isPushed && !source.isOut && source.restsUntil <= this.host.timers.monotonic();
  }

  /** Asks one source; what comes lies in its buffer then. Resolves to how many came, and never rejects. */
  protected async ask(source: Source, limit: number, waitMs: number): Promise<number> {
    const { timers } = this.host;
    source.isOut = true;
    let deliveries: readonly Delivery[];
    try {
      deliveries = await source.subscription.receive(limit, waitMs);
    } catch (error) {
      source.isOut = false;
      this.#failed(source, error);
      return 0;
    }
    source.isOut = false;
    source.answered(deliveries.length);
    if (deliveries.length > 0) this.#accept(source, deliveries);
    else if (waitMs > 0) {
      // Only one that really waits is asked again at once.
      source.restsUntil = timers.monotonic() + PAUSE_MS;
      if (this.#isReceiving) timers.after(PAUSE_MS, () => this.wake());
    }
    return deliveries.length;
  }

  /** Takes up to so many out of the buffer of a source. */
  protected take(source: Source, limit: number, into: Delivery[]): void {
    const most = Math.min(limit - into.length, this.free);
    if (most <= 0 || source.buffer.length === 0) return;
    for (const item of source.buffer.splice(0, most)) {
      this.#out.set(item.handed, item);
      this.#buffered--;
      into.push(item.handed);
    }
  }

  /** Something that a source brought before is to be handed out now. */
  protected offer(source: Source, own: Delivery, handed: Delivery): void {
    source.buffer.push({ source, own, handed });
    this.#buffered++;
    this.wake();
    if (!this.#isReceiving) this.#keepBuffered();
  }

  /** Everything that is handed out and not settled. */
  protected get items(): Iterable<Item> {
    return this.#out.values();
  }

  /** What is handed out and not settled; undefined for what is not. */
  protected itemOf(delivery: Delivery): Item | undefined {
    return this.#out.get(delivery);
  }

  /** It is not in hand any more, and settled by whoever says so. */
  protected forget(delivery: Delivery): void {
    this.#out.delete(delivery);
    this.wake();
  }

  async #receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const { timers } = this.host;
    const endsAt = timers.monotonic() + waitMs;
    this.#excuse();
    for (;;) {
      this.#isAwake = false;
      const leftMs = waitMs > 0 ? Math.max(0, endsAt - timers.monotonic()) : 0;
      const taken = await this.gather(limit, leftMs);
      // One that waited when it was closed hears of nothing, not of an error.
      if (taken.length > 0 || this.#closed) return taken;
      this.#throwIfAllFailed();
      if (leftMs <= 0) return NOTHING;
      await this.#rest(leftMs);
    }
  }

  /** Until something comes, or the time is over. */
  async #rest(leftMs: number): Promise<void> {
    if (this.#isAwake) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const deadline = leftMs === Infinity ? undefined : this.host.timers.after(leftMs, resolve);
    await promise;
    deadline?.cancel();
    this.#wake = undefined;
  }

  /** When all of them rest because they failed, whoever asks is to hear how they are now. */
  #excuse(): void {
    const asked = [...this.sources].filter(({ isPushed }) => !isPushed);
    if (asked.some(({ failure }) => failure === undefined)) return;
    for (const source of asked) source.restsUntil = -Infinity;
  }

  #throwIfAllFailed(): void {
    let failure: unknown;
    for (const source of this.sources) {
      if (source.isPushed) continue;
      if (source.failure === undefined) return;
      failure ??= source.failure;
    }
    if (failure !== undefined) throw toHeraldError(failure);
  }

  #failed(source: Source, error: unknown): void {
    const { timers } = this.host;
    const restMs = source.failed(error, timers.monotonic());
    this.wake();
    if (this.#closed || this.host.closed() !== undefined) return;
    this.host.fault(toHeraldError(error), "receive");
    timers.after(restMs, () => this.wake());
  }

  #accept(source: Source, deliveries: readonly Delivery[]): void {
    const silent: Settlement[] = [];
    for (const own of deliveries) {
      const sifted = this.#closed
        ? ({ kind: "release", delivery: own, delayMs: 0 } as const)
        : this.sift(source, own);
      if (sifted === undefined) continue;
      if ("kind" in sifted) silent.push(sifted);
      else {
        source.buffer.push({ source, own, handed: sifted });
        this.#buffered++;
      }
    }
    if (silent.length > 0) this.#sendSilently(source, silent);
    this.wake();
    if (!this.#isReceiving) this.#keepBuffered();
  }

  #sendSilently(source: Source, settlements: readonly Settlement[]): void {
    source.subscription.settle(settlements).catch((error: unknown) => {
      if (this.host.closed() === undefined) this.host.fault(toHeraldError(error), "settle");
    });
  }

  async #settleThere(
    source: Source,
    { items, list }: { readonly items: readonly Item[]; readonly list: readonly Settlement[] },
  ): Promise<void> {
    try {
      await source.subscription.settle(list);
    } catch (error) {
      if (isHeraldError(error) && REFUSALS.has(error.code))
        for (const item of items) this.#out.set(item.handed, item);
      throw error;
    }
  }

  /** Buffered deliveries run out of their lease: they wait for a receive for a moment only. */
  #keepBuffered(): void {
    if (this.#buffered === 0 || this.#closed) return;
    this.#keeping ??= this.host.timers.after(this.#options.keepMs, () => {
      this.#keeping = undefined;
      this.gaveBack();
      void this.#giveBack(this.sources).catch((error: unknown) =>
        this.host.fault(toHeraldError(error), "settle"),
      );
    });
  }

  async #giveBack(sources: Iterable<Source>): Promise<void> {
    const given: Promise<void>[] = [];
    for (const source of sources) {
      const items = source.buffer;
      if (items.length === 0) continue;
      source.buffer = [];
      this.#buffered -= items.length;
      given.push(
        source.subscription.settle(
          items.map(({ own }) => ({ kind: "release", delivery: own, delayMs: 0 }) as const),
        ),
      );
    }
    await Promise.all(given);
  }

  #over(): readonly Delivery[] {
    const reason = this.host.closed();
    if (reason !== undefined) throw reason;
    return NOTHING;
  }
}
