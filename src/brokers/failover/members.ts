import type { Broker, Capabilities, StartFrom, Subscription, SubscriptionSpec } from "../../core/broker.ts";
import type { Settlement } from "../../core/delivery.ts";
import { HeraldError, toHeraldError, type HeraldError as Failure } from "../../core/errors.ts";
import type { TimeLimits } from "./deadline.ts";
import { FALLBACK_POSITION } from "./handed.ts";
import { KeptSettlements } from "./kept.ts";
import type { FailoverSettings } from "./options.ts";
import { isOutage } from "./outage.ts";
import type { Registry } from "./registry.ts";
import { Seen, type SideName } from "./seen.ts";
import { FailoverSubscription, type SubscriptionHost } from "./subscription.ts";

/** What the subscriptions of one failover broker need of it. */
export interface MembersHost {
  readonly settings: FailoverSettings;
  readonly limits: TimeLimits;
  readonly registry: Registry;
  readonly primaryAbilities: () => Capabilities | undefined;
  readonly fallbackAbilities: Capabilities;
  /** Epoch milliseconds since when publishers write on the fallback; undefined: they do not. */
  isolatedSince(): number | undefined;
  isPrimaryUp(): boolean;
  closed(): HeraldError | undefined;
  sideFailed(side: SideName, error: Failure): void;
}

/** Every subscription of one failover broker, and the settlements that wait for a side. */
export class Members {
  readonly #host: MembersHost;
  readonly #primary: Broker;
  readonly #fallback: Broker;
  readonly #all = new Set<FailoverSubscription>();
  readonly #groups = new Map<string, Seen>();
  readonly #kept: Readonly<Record<SideName, KeptSettlements>>;
  readonly #subscriptionHost: SubscriptionHost;

  constructor(host: MembersHost) {
    this.#host = host;
    this.#primary = host.settings.primary;
    this.#fallback = host.settings.fallback;
    const { maxKeptSettlements } = host.settings;
    this.#kept = {
      primary: new KeptSettlements(maxKeptSettlements),
      fallback: new KeptSettlements(maxKeptSettlements),
    };
    this.#subscriptionHost = {
      after: (delayMs, task) => host.limits.after(delayMs, task),
      monotonic: () => host.settings.clock.monotonic(),
      settle: (side, subscription, settlements, seen) =>
        this.#settle(side, { subscription, settlements }, seen),
      failed: (side, error) => host.sideFailed(side, toHeraldError(error)),
      hasFallbackCopy: ({ store, at }, since) => store === host.registry.store && at >= since,
      closed: () => host.closed(),
      left: (subscription) => this.#leave(subscription),
    };
  }

  /** Settlements that wait for a side. */
  get kept(): number {
    return this.#kept.primary.size + this.#kept.fallback.size;
  }

  /** Subscriptions that are open. */
  get size(): number {
    return this.#all.size;
  }

  /** Subscribes on both sides; on the primary later, when it is away. */
  async subscribe(spec: SubscriptionSpec): Promise<FailoverSubscription> {
    const there = await this.#subscribeThere(spec);
    let here: Subscription;
    const now = this.#host.settings.clock.now();
    const from = this.#fromHere(spec.from);
    try {
      here = await this.#fallback.subscribe({ ...spec, from: from ?? "new" });
      const since = typeof from === "object" && "time" in from ? from.time : this.#host.settings.clock.now();
      if (spec.group !== null) await this.#host.registry.note(spec.group, spec.pattern, since);
    } catch (error) {
      await there?.close();
      throw error;
    }
    const subscription = new FailoverSubscription(spec, now, this.#seen(spec.group), this.#subscriptionHost);
    subscription.fallback.attach(here);
    if (there !== undefined) subscription.primary.attach(there);
    this.#all.add(subscription);
    return subscription;
  }

  /** A side is well: what waited for it gets through, and it is read again. Rejects when it is not well after all. */
  async resume(side: SideName): Promise<void> {
    await this.#kept[side].flush((subscription, settlements) =>
      this.#limited(side, subscription.settle(settlements)),
    );
    for (const subscription of this.#all) {
      const reader = subscription[side];
      if (reader.subscription === undefined) await this.#attach(subscription);
      else if (!reader.isFailed) continue;
      reader.isFailed = false;
      subscription.resume();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((subscription) => subscription.close().catch(() => {})));
  }

  async #subscribeThere(spec: SubscriptionSpec): Promise<Subscription | undefined> {
    if (
      typeof spec.from === "object" &&
      "position" in spec.from &&
      spec.from.position.startsWith(FALLBACK_POSITION)
    ) {
      const message =
        "This position is one of the fallback, which keeps a message only until the primary has it: start at a time instead.";
      throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
    }
    if (!this.#host.isPrimaryUp()) return undefined;
    try {
      return await this.#limited("primary", this.#primary.subscribe(spec));
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#host.sideFailed("primary", toHeraldError(error));
      return undefined;
    }
  }

  /**
   * A new group gets from the fallback what is written there from now on: what was written before, it gets from the primary.
   * While the primary is away, also what was written since then.
   */
  #fromHere(from: StartFrom | undefined): StartFrom | undefined {
    const isolatedSince = this.#host.isolatedSince();
    if (from === undefined || from === "new" || isolatedSince === undefined) return undefined;
    if (!this.#host.fallbackAbilities.replayByTime) return undefined;
    const asked = typeof from === "object" && "time" in from ? from.time : 0;
    return { time: Math.max(asked, isolatedSince) };
  }

  async #attach(subscription: FailoverSubscription): Promise<void> {
    const { spec, since } = subscription;
    const isFromNow = spec.from === undefined || spec.from === "new";
    // What others published on the primary meanwhile is not to be missed.
    const late: SubscriptionSpec =
      isFromNow && this.#host.primaryAbilities()?.replayByTime === true
        ? { ...spec, from: { time: since } }
        : spec;
    const there = await this.#limited("primary", this.#primary.subscribe(late));
    if (this.#all.has(subscription)) subscription.primary.attach(there);
    else await there.close();
  }

  async #settle(
    side: SideName,
    {
      subscription,
      settlements,
    }: { readonly subscription: Subscription; readonly settlements: readonly Settlement[] },
    seen: Seen,
  ): Promise<void> {
    if (this.#host.closed() !== undefined) return subscription.settle(settlements);
    if (side === "primary" && !this.#host.isPrimaryUp())
      return this.#keep(side, { subscription, settlements }, seen);
    try {
      await this.#limited(side, subscription.settle(settlements));
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#keep(side, { subscription, settlements }, seen);
      this.#host.sideFailed(side, toHeraldError(error));
    }
  }

  #keep(
    side: SideName,
    {
      subscription,
      settlements,
    }: { readonly subscription: Subscription; readonly settlements: readonly Settlement[] },
    seen: Seen,
  ): void {
    this.#kept[side].add(subscription, settlements);
    for (const { kind, delivery } of settlements)
      if (kind === "ack") seen.unheard(delivery.envelope.id, side);
  }

  #limited<T>(side: SideName, promise: Promise<T>): Promise<T> {
    const { limits, settings } = this.#host;
    return side === "fallback" ? promise : limits.within(promise, settings.callDeadlineMs, "a call");
  }

  #seen(group: string | null): Seen {
    if (group === null) return new Seen();
    let seen = this.#groups.get(group);
    if (seen === undefined) this.#groups.set(group, (seen = new Seen()));
    return seen;
  }

  #leave(subscription: FailoverSubscription): void {
    this.#all.delete(subscription);
  }
}
