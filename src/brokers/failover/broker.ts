import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { FailoverAdmin } from "./admin.ts";
import { checkFallback, refusalOf, weaker } from "./capabilities.ts";
import { CoordinationMode, CoordinationModeManager } from "./coordination-mode.ts";
import { Control, type FailoverControl } from "./control.ts";
import { TimeLimits } from "./deadline.ts";
import { notOpen } from "../shared/lifecycle.ts";
import { KeyFence } from "./fence.ts";
import { channelOfSpool } from "./handover.ts";
import { FailoverInbox } from "./inbox.ts";
import { PrimaryLink } from "./link.ts";
import { failoverSettings, type FailoverBrokerOptions, type FailoverSettings } from "./options.ts";
import { Orders } from "./orders.ts";
import { isDeadline, isOutage } from "./outage.ts";
import { makeParts, type Parts, type PartsHost } from "./parts.ts";
import { mergeReports } from "./report.ts";
import type { SideName } from "./seen.ts";

export type { FailoverControl, FailoverCounts } from "./control.ts";
export type { FailoverBrokerOptions } from "./options.ts";
export {
  CoordinationMode,
  CoordinationModeManager,
  type CoordinationConfig,
  type CoordinationEvents,
  type CoordinationModeManagerOptions,
  type CoordinationState,
  type HealthReport,
  type ModeChange,
  type ModeNotification,
} from "./coordination-mode.ts";

/** How soon a side that failed is looked at. */
const LOOK_MS = 100;
const SWEEP_MS = 25;
const TRIM_MS = 500;

/**
 * Two brokers as one: publishers write to the primary, and to the fallback while the primary is away; consumers read both,
 * whatever the mode; what the fallback got is handed to the primary when it is back. What is acknowledged is lost on neither.
 */
export class FailoverBroker implements Broker {
  readonly name: string;
  readonly admin?: BrokerAdmin;
  readonly createInbox?: (options: InboxOptions) => Inbox;
  /** Decides where publishers write; its events tell of every change. */
  readonly coordination: CoordinationModeManager;
  /** For operators: the mode, what a switch would move, and the switch. */
  readonly control: FailoverControl;
  readonly #settings: FailoverSettings;
  readonly #limits: TimeLimits;
  readonly #link: PrimaryLink;
  readonly #fence: KeyFence;
  readonly #orders: Orders;
  readonly #admin: FailoverAdmin | undefined;
  readonly #inboxes = new Set<FailoverInbox>();
  #primaryAbilities: Capabilities | undefined;
  #parts: Parts | undefined;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #isolatedSince: number | undefined;
  #isLooking = false;
  #isSweeping = false;
  #isTrimming = false;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(options: FailoverBrokerOptions) {
    const settings = failoverSettings(options);
    const { primary, fallback, clock } = settings;
    this.#settings = settings;
    this.name = `failover(${primary.name}, ${fallback.name})`;
    this.#limits = new TimeLimits(clock);
    this.#fence = new KeyFence(fallback, () => clock.monotonic());
    this.#link = new PrimaryLink(settings, this.#limits, {
      opened: (abilities) => this.#opened(abilities),
      answered: () => this.#recover(),
      lost: () => {
        this.#parts?.recovery.doubt();
        this.#parts?.drainer.setAwake(false);
        this.#fence.letGo();
      },
    });
    this.coordination = new CoordinationModeManager({
      ...settings.coordination,
      clock,
      probe: this.#link.probe,
      actions: (from, to) => this.#prepare(from, to),
      ...(settings.state === undefined ? {} : { state: settings.state }),
    });
    this.coordination.on("modeChanged", (_from, to) => this.#modeChanged(to));
    this.#orders = new Orders({
      fallback,
      coordination: this.coordination,
      limits: this.#limits,
      closed: () => (this.#state === "closed" ? closed() : undefined),
      fault: (error, where) => this.#fault(error, where),
    });
    this.control = new Control({
      coordination: this.coordination,
      fallback,
      tell: (mode, reason) => this.#orders.give(mode, reason),
      figures: () => {
        const { path, members, drainer } = this.#running();
        return { keptSettlements: members.kept, pendingPublishes: path.pending, drained: drainer.drained };
      },
    });
    if (primary.admin !== undefined && fallback.admin !== undefined) {
      this.#admin = new FailoverAdmin({
        primary: primary.admin,
        fallback: fallback.admin,
        isPrimaryUp: () => this.#link.isUp,
        within: (promise, what) => this.#limits.within(promise, settings.callDeadlineMs, what),
      });
      this.admin = this.#admin;
    }
    if (primary.createInbox !== undefined && fallback.createInbox !== undefined)
      this.createInbox = (options) => this.#makeInbox(options);
  }

  /** Names of the two brokers. */
  get sides(): { readonly primary: string; readonly fallback: string } {
    return { primary: this.#settings.primary.name, fallback: this.#settings.fallback.name };
  }

  /** Envelopes that wait for the primary's answer. */
  get pendingPublishes(): number {
    return this.#parts?.path.pending ?? 0;
  }

  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closed();
    if (this.#state !== "new")
      throw new HeraldError("ALREADY_EXISTS", "This failover broker is open already.");
    this.#state = "opening";
    const { fallback } = this.#settings;
    try {
      const abilities = await fallback.open(signal);
      const { admin } = fallback;
      checkFallback(fallback.name, abilities, admin !== undefined);
      this.#primaryAbilities = await this.#openPrimary(signal);
      await this.#build(abilities);
    } catch (error) {
      await this.close();
      throw error;
    }
    return (this.#parts as unknown as Parts).capabilities;
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    const { path, capabilities } = this.#running();
    for (const envelope of envelopes) {
      if (
        refusalOf(envelope, capabilities) !== undefined ||
        (options.dedupe === true && !capabilities.dedupe)
      )
        return this.#publishSome(envelopes, options);
    }
    return path.publish(envelopes, options);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    return this.#running().members.subscribe(spec);
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open") return { state: "down", channels: [], dropped: 0 };
    const { primary, fallback, callDeadlineMs } = this.#settings;
    const [there, here] = await Promise.all([
      this.#link.isUp
        ? this.#limits.within(primary.inspect(query), callDeadlineMs, "an inspect").catch(() => undefined)
        : undefined,
      fallback.inspect(query).catch(() => undefined),
    ]);
    return mergeReports(there, here, this.#isIsolated());
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.coordination.stop();
    this.#fence.letGo();
    const { primary, fallback, callDeadlineMs } = this.#settings;
    await this.#orders.stop().catch(() => {});
    await this.#parts?.members.close();
    await this.#parts?.drainer.stop().catch(() => {});
    // A primary that is silent must not keep whoever closes.
    await Promise.all([
      this.#limits.within(primary.close(), callDeadlineMs, "close").catch(() => {}),
      fallback.close().catch(() => {}),
    ]);
    this.#limits.clear();
  }

  #makeInbox(options: InboxOptions): Inbox {
    const { primary, fallback, callDeadlineMs } = this.#settings;
    const sides = { primary: primary.createInbox?.(options), fallback: fallback.createInbox?.(options) };
    const inbox = new FailoverInbox(sides as { primary: Inbox; fallback: Inbox }, {
      isPrimaryUp: () => this.#link.isUp,
      within: (promise) => this.#limits.within(promise, callDeadlineMs, "the inbox"),
      primaryFailed: (error) => this.#sideFailed("primary", toHeraldError(error)),
    });
    this.#inboxes.add(inbox);
    return inbox;
  }

  /** Undefined when the primary is away: it is opened later. */
  async #openPrimary(signal: AbortSignal | undefined): Promise<Capabilities | undefined> {
    try {
      const abilities = await this.#link.open(signal);
      this.#link.markOpen();
      return abilities;
    } catch (error) {
      if (signal?.aborted === true || !isOutage(error)) throw error;
      return undefined;
    }
  }

  async #build(fallbackAbilities: Capabilities): Promise<void> {
    const host: PartsHost = {
      settings: this.#settings,
      limits: this.#limits,
      link: this.#link,
      fence: this.#fence,
      coordination: this.coordination,
      admin: this.#admin,
      inboxes: this.#inboxes,
      primaryAbilities: () => this.#primaryAbilities,
      isolatedSince: () => this.#isolatedSince,
      closed: () => (this.#state === "closed" ? closed() : undefined),
      sideFailed: (side, error) => this.#sideFailed(side, error),
      publishFailed: (error) => this.#publishFailed(error),
      wrote: () => this.#upkeepSoon(),
      fault: (error, where) => this.#fault(error, where),
    };
    this.#parts = await makeParts(host, fallbackAbilities);
    await this.#fenceLeftovers();
    this.#state = "open";
    this.#parts.drainer.start();
    await this.coordination.start();
    await this.#orders.start();
  }

  /** The primary could be opened at last. It must keep what was promised without it. */
  async #opened(abilities: Capabilities): Promise<void> {
    const { capabilities } = this.#parts ?? {};
    if (capabilities !== undefined) {
      const lacking = Object.entries(weaker(abilities, capabilities, this.#settings.durability))
        .filter(([name, value]) => value === false && capabilities[name as keyof Capabilities] === true)
        .map(([name]) => name);
      if (lacking.length > 0) throw missing(lacking);
    }
    this.#primaryAbilities = abilities;
  }

  /** Positional: what cannot be taken is refused in its place, the rest is published. */
  async #publishSome(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const { path, capabilities } = this.#running();
    if (options.dedupe === true && !capabilities.dedupe) throw missing(["dedupe"]);
    const refusals = envelopes.map((envelope) => refusalOf(envelope, capabilities));
    const passing = envelopes.filter((_envelope, at) => refusals[at] === undefined);
    const results = (passing.length === 0 ? [] : await path.publish(passing, options)).values();
    return refusals.map((error) =>
      error === undefined ? (results.next().value as PublishResult) : { ok: false, error },
    );
  }

  /** Before publishers go back to the primary, what others left on the fallback is known. */
  async #prepare(from: CoordinationMode, to: CoordinationMode): Promise<void> {
    if (from === CoordinationMode.ISOLATED && to !== CoordinationMode.ISOLATED) await this.#fenceLeftovers();
  }

  #modeChanged(to: CoordinationMode): void {
    if (to !== CoordinationMode.ISOLATED) this.#isolatedSince = undefined;
    else {
      this.#isolatedSince ??= this.#settings.clock.now();
      this.#fence.letGo();
    }
    this.#upkeepSoon();
  }

  /** Channels of which the fallback holds something that has not been handed over. */
  async #fenceLeftovers(): Promise<void> {
    const { channels } = await this.#settings.fallback.inspect();
    for (const { channel, groups } of channels) {
      const own = channelOfSpool(channel);
      const left = groups.reduce((sum, { lag }) => sum + (lag ?? 0), 0);
      if (own !== undefined && left > 0) this.#fence.add(own);
    }
    this.#upkeepSoon();
  }

  /** The primary answers: what waited for it goes on. */
  #recover(): void {
    void this.#parts?.recovery.run();
    this.#upkeepSoon();
  }

  #publishFailed(error: HeraldError): void {
    if (!isOutage(error)) return;
    this.#parts?.recovery.doubt();
    this.coordination.recordFailure(error.message, isDeadline(error));
    if (isDeadline(error)) this.#link.failed();
    this.#lookSoon();
  }

  #sideFailed(side: SideName, error: HeraldError): void {
    if (this.#state !== "open") return;
    if (side === "fallback") {
      this.#fault(error, "fallback");
      this.#limits.after(LOOK_MS, () => void this.#parts?.members.resume("fallback").catch(() => {}));
      return;
    }
    this.#parts?.recovery.doubt();
    if (isDeadline(error)) this.#link.failed();
    this.#lookSoon();
  }

  /** One look for all that fail at once. */
  #lookSoon(): void {
    if (this.#isLooking || this.#state !== "open") return;
    this.#isLooking = true;
    this.#limits.after(LOOK_MS, () => {
      this.#isLooking = false;
      if (this.#state === "open") void this.coordination.checkHealth();
    });
  }

  /** Looks soon which keys are free again, and later what the journal may forget. */
  #upkeepSoon(): void {
    if (this.#state !== "open" || !this.#link.isUp) return;
    if (!this.#isSweeping && !this.#fence.isEmpty && !this.#isIsolated()) {
      this.#isSweeping = true;
      this.#limits.after(SWEEP_MS, () => void this.#upkeep(() => this.#fence.sweep(), "sweep"));
    }
    if (!this.#isTrimming && this.#parts?.journal?.isIdle === false) {
      this.#isTrimming = true;
      this.#limits.after(TRIM_MS, () => void this.#upkeep(() => this.#parts?.recovery.trim(), "trim"));
    }
  }

  async #upkeep(work: () => Promise<void> | undefined, what: "sweep" | "trim"): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#fence.letGo();
      this.#fault(toHeraldError(error), what);
    }
    if (what === "sweep") this.#isSweeping = false;
    else this.#isTrimming = false;
    this.#upkeepSoon();
  }

  #isIsolated(): boolean {
    return this.coordination.getMode() === CoordinationMode.ISOLATED;
  }

  #running(): Parts {
    if (this.#state !== "open" || this.#parts === undefined) throw closed();
    return this.#parts;
  }

  #fault(error: HeraldError, where: string): void {
    // What is cut off by closing is nobody's fault.
    if (this.#state === "closed") return;
    emit("fault", () => ({ agent: this.name, error, where }));
  }
}

const closed = (): HeraldError => notOpen("failover");

function missing(lacking: readonly string[]): HeraldError {
  const message = `One of the two brokers lacks ${lacking.join(", ")}: use another pair, or do without.`;
  return new HeraldError("UNSUPPORTED", message, { details: { lacking } });
}
