import type {
  Broker,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { toHeraldError } from "../../core/errors.ts";
import { withFailure } from "../shared/failures.ts";
import { FairGathering } from "../shared/fair-gathering.ts";
import type { GatheringHost, Sifted } from "../shared/gathering.ts";
import { HandedOn } from "../shared/handed-on.ts";
import { Source, type Item } from "../shared/source.ts";
import {
  DELAY_PREFIX,
  fromDue,
  fromReturning,
  isReturnTo,
  leftOf,
  returnChannel,
  toAddressed,
  toReturning,
  type Held,
  type Returning,
} from "./held.ts";
import { Parking, type Parked } from "./parking.ts";

/** What a subscription with delay needs. */
export interface DelayParts {
  readonly broker: Broker;
  /** What the broker below can do on what is subscribed to. */
  readonly below: Capabilities;
  readonly keepMs: number;
  readonly host: GatheringHost;
  /** It is closed, and nothing of it waits any more. */
  idle(subscription: DelaySubscription): void;
}

type Back = Extract<Settlement, { readonly kind: "nack" | "release" }>;

/** What was given back and waits in hand, because its order must be kept or nobody else may have it, at most. */
const MAX_PARKED = 1000;
/** What was given back and waits on the broker, in hand of one subscription at most; more come a little late. */
const RETURN_PREFETCH = 10_000;
const RETURN_BATCH = 500;
const WAIT_MS = 60_000;
const PAUSE_MS = 1000;

/**
 * A subscription whose nacks may wait. What is given back for later is written again where only its group reads it, then
 * acknowledged; whoever of the group is there keeps it until it is due. Three kinds stay in hand instead: what holds back its
 * key under a strict order, what only this subscription gets, and what could not be written.
 */
export class DelaySubscription extends FairGathering {
  readonly spec: SubscriptionSpec;
  readonly #parts: DelayParts;
  readonly #parking: Parking;
  #back: Source | undefined;
  #reading: Promise<void> | undefined;
  /** Nobody has asked for what is due: no more is read until somebody does. */
  #isStuffed = false;
  #resume: (() => void) | undefined;
  #hasEnded = false;

  private constructor(spec: SubscriptionSpec, parts: DelayParts) {
    super({ prefetch: spec.prefetch, keepMs: parts.keepMs }, parts.host);
    this.spec = spec;
    this.#parts = parts;
    this.#parking = new Parking(parts.host.timers, (error) => parts.host.fault(error, "lease"));
  }

  /** Rejects with what the broker below rejects with. */
  static async open(spec: SubscriptionSpec, parts: DelayParts): Promise<DelaySubscription> {
    const made = new DelaySubscription(spec, parts);
    const returns = await made.#openReturns();
    try {
      const prefetch = spec.prefetch + (made.#mayPark ? MAX_PARKED : 0);
      made.sources.add(new Source(await parts.broker.subscribe({ ...spec, prefetch })));
    } catch (error) {
      await returns?.close();
      throw error;
    }
    if (returns !== undefined) made.#read(returns);
    return made;
  }

  /** How many deliveries of a channel are in hand only because they wait. */
  parkedOf(channel: string): number {
    const isOwn = ({ delivery }: Parked) => delivery.envelope.channel === channel;
    return [...this.#parking.parked].filter(isOwn).length;
  }

  /** How many that came back are handed out. */
  returnedOf(channel: string): number {
    const isOwn = ({ source, handed }: Item) => source === this.#back && handed.envelope.channel === channel;
    return [...this.items].filter(isOwn).length;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    if (this.#parts.below.nackDelay) return super.settle(settlements);
    const now: Settlement[] = [];
    const later: Back[] = [];
    for (const settlement of settlements) {
      const { kind } = settlement;
      if ((kind === "nack" || kind === "release") && settlement.delayMs > 0) later.push(settlement);
      else now.push(settlement);
    }
    if (later.length > 0) now.push(...(await this.#sendBack(later)));
    await super.settle(now);
  }

  /** What waits in hand for its own sake goes on waiting until the broker is closed. */
  override async close(): Promise<void> {
    if (this.isClosed) return;
    const back = this.#back;
    await super.close();
    this.#resume?.();
    const waiting = [...this.#parking.parked].filter(
      ({ subscription }) => subscription === back?.subscription,
    );
    for (const parked of waiting) this.#parking.take(parked);
    await back?.subscription.settle(
      waiting.map(({ delivery }) => ({ kind: "release", delivery, delayMs: 0 }) as const),
    );
    await this.#reading;
    this.#hasEnded = true;
    this.#rest();
  }

  /** The broker is about to close: nothing waits any longer. */
  async end(): Promise<void> {
    await this.close();
    for (const parked of this.#parking.clear()) parked.due();
  }

  protected override sift(source: Source, delivery: Delivery): Sifted {
    const { group } = this.spec;
    const { envelope } = delivery;
    if (envelope.channel.startsWith(DELAY_PREFIX)) {
      // A pattern that covers everything covers these too.
      if (group === null || !isReturnTo(group, delivery)) return { kind: "ack", delivery };
      return this.#await(source, delivery);
    }
    const returned = fromReturning(envelope);
    if (returned !== undefined)
      return returned.facts.group === group ? restored(delivery, returned) : { kind: "ack", delivery };
    const plain = fromDue(envelope);
    return plain === envelope ? delivery : new HandedOn(delivery, { envelope: plain });
  }

  protected override asked(): void {
    if (!this.#isStuffed) return;
    this.#isStuffed = false;
    this.#resume?.();
  }

  protected override gaveBack(): void {
    if (this.#back !== undefined && this.#back.buffer.length > 0) this.#isStuffed = true;
  }

  get #mayPark(): boolean {
    const { group, ordering } = this.spec;
    return !this.#parts.below.nackDelay && (group === null || ordering === "strict");
  }

  async #openReturns(): Promise<Subscription | undefined> {
    const { group, pattern } = this.spec;
    if (group === null || this.#parts.below.nackDelay) return undefined;
    const channel = returnChannel(group, pattern);
    if (channel === undefined) return undefined;
    return this.#parts.broker.subscribe({ pattern: channel, group, prefetch: RETURN_PREFETCH });
  }

  #read(returns: Subscription): void {
    this.#back = new Source(returns, { isPushed: true });
    this.sources.add(this.#back);
    this.#reading = this.#readReturns(this.#back);
  }

  async #readReturns(source: Source): Promise<void> {
    while (!this.isClosed) {
      if (this.#isStuffed) await new Promise<void>((resolve) => (this.#resume = resolve));
      try {
        for (const delivery of await source.subscription.receive(RETURN_BATCH, WAIT_MS)) {
          const sifted = this.#await(source, delivery);
          if (sifted !== undefined) await source.subscription.settle([sifted]);
        }
      } catch (error) {
        if (this.isClosed || this.host.closed() !== undefined) return;
        this.host.fault(toHeraldError(error), "receive");
        const pause = this.host.timers.pause(PAUSE_MS);
        this.#resume = pause.cut;
        await pause.over;
      }
    }
  }

  /** Something that this group gave back: it is handed out when it is due. */
  #await(source: Source, delivery: Delivery): Settlement | undefined {
    const held = fromReturning(delivery.envelope);
    if (held === undefined || held.facts.group !== this.spec.group) return { kind: "ack", delivery };
    if (this.isClosed) return { kind: "release", delivery, delayMs: 0 };
    const parked: Parked = {
      subscription: source.subscription,
      delivery,
      due: () => this.#comeBack(source, delivery, held),
    };
    const leftMs = leftOf(held.facts, this.host.timers.clock.now());
    if (leftMs > 0) this.#parking.park(parked, leftMs);
    else parked.due();
    return undefined;
  }

  /** One with a key goes through its channel again, where nothing else of its key runs meanwhile. */
  #comeBack(source: Source, delivery: Delivery, held: Held<Returning>): void {
    if (this.isClosed) {
      source.subscription.settle([{ kind: "release", delivery, delayMs: 0 }]).catch(() => {});
      return;
    }
    if (held.envelope.key === undefined || this.#parts.below.ordering === "none")
      this.offer(source, delivery, restored(delivery, held));
    else void this.#readdress(source, delivery, held);
  }

  async #readdress(source: Source, delivery: Delivery, held: Held<Returning>): Promise<void> {
    const { broker, below } = this.#parts;
    const attempt = held.facts.attempt + delivery.attempt - 1;
    const facts = { ...held.facts, attempt };
    const copy = toAddressed(delivery.envelope, { envelope: held.envelope, facts });
    try {
      const [result] = await broker.publish([copy], below.dedupe ? { dedupe: true } : undefined);
      if (result?.ok === false) throw result.error;
      await source.subscription.settle([{ kind: "ack", delivery }]);
    } catch (error) {
      if (this.isClosed) return;
      this.host.fault(toHeraldError(error), "delay");
      const parked = {
        subscription: source.subscription,
        delivery,
        due: () => this.#comeBack(source, delivery, held),
      };
      this.#parking.park(parked, PAUSE_MS);
    }
  }

  #rest(): void {
    if (this.#hasEnded && this.#parking.size === 0) this.#parts.idle(this);
  }

  /** Writes what is to come back later; resolves to what is to be said of it now. */
  async #sendBack(settlements: readonly Back[]): Promise<Settlement[]> {
    const copies: { readonly back: Back; readonly item: Item; readonly channel: string }[] = [];
    for (const back of settlements) {
      const item = this.itemOf(back.delivery);
      if (item === undefined) continue;
      const channel = this.#returnsOf(item);
      if (channel === undefined) this.#keep(back, item);
      else copies.push({ back, item, channel });
    }
    if (copies.length === 0) return [];
    const envelopes = copies.map(({ back, channel }) => this.#copy(back, channel));
    const results = await this.#publish(envelopes);
    return copies.flatMap(({ back, item }, at): Settlement[] => {
      if (results[at]?.ok === true) return [{ kind: "ack", delivery: back.delivery }];
      this.#keep(back, item);
      return [];
    });
  }

  async #publish(envelopes: Parameters<Broker["publish"]>[0]): Promise<readonly PublishResult[]> {
    const { broker, below } = this.#parts;
    const results: PublishResult[] = [];
    for (let from = 0; from < envelopes.length; from += below.maxBatch) {
      const batch = envelopes.slice(from, from + below.maxBatch);
      try {
        results.push(...(await broker.publish(batch)));
      } catch (thrown) {
        const error = toHeraldError(thrown);
        this.host.fault(error, "delay");
        results.push(...batch.map(() => ({ ok: false, error }) as const));
      }
    }
    return results;
  }

  /** Where a delivery waits that comes back later; undefined: in hand. */
  #returnsOf({ handed }: Item): string | undefined {
    const { group, ordering } = this.spec;
    const { key, channel } = handed.envelope;
    const isOrdered = ordering === "strict" && key !== undefined && this.#parts.below.ordering !== "none";
    return group === null || isOrdered ? undefined : returnChannel(group, channel);
  }

  #copy(back: Back, channel: string) {
    const { delivery, delayMs, kind } = back;
    const isNack = kind === "nack";
    return toReturning(delivery.envelope, channel, {
      group: this.spec.group as string,
      leftMs: delayMs,
      at: this.host.timers.clock.now(),
      attempt: delivery.attempt + (isNack ? 1 : 0),
      failures: withFailure(delivery.failures, isNack ? back.failure : undefined),
      position: delivery.position,
    });
  }

  /** It stays in hand until it is due; while there is room for such, it takes no place of the prefetch. */
  #keep(back: Back, { source, own }: Item): void {
    const isFree = this.#mayPark && this.#parking.size < MAX_PARKED;
    const parked: Parked = {
      subscription: source.subscription,
      delivery: own,
      due: () => {
        if (!isFree) this.forget(back.delivery);
        source.subscription
          .settle([{ ...back, delivery: own, delayMs: 0 }])
          .catch((error: unknown) => this.host.fault(toHeraldError(error), "settle"));
        this.#rest();
      },
    };
    if (isFree) this.forget(back.delivery);
    this.#parking.park(parked, back.delayMs);
  }
}

function restored(delivery: Delivery, { envelope, facts }: Held<Returning>): Delivery {
  return new HandedOn(delivery, {
    envelope,
    position: facts.position,
    // What happened to it since it came back.
    attempt: facts.attempt + delivery.attempt - 1,
    failures: delivery.failures.reduce(withFailure, facts.failures),
  });
}
