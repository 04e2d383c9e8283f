import type { BrokerAdmin, Capabilities } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import type { FailoverAdmin } from "./admin.ts";
import { weaker } from "./capabilities.ts";
import { CoordinationMode, type CoordinationModeManager } from "./coordination-mode.ts";
import type { TimeLimits } from "./deadline.ts";
import { DRAIN_GROUP, DRAIN_PREFETCH, Drainer } from "./drainer.ts";
import { DrainLock } from "./drain-lock.ts";
import type { KeyFence } from "./fence.ts";
import { SPOOL_PATTERN } from "./handover.ts";
import type { FailoverInbox } from "./inbox.ts";
import { Journal } from "./journal.ts";
import type { PrimaryLink } from "./link.ts";
import { Marks } from "./marks.ts";
import { Members } from "./members.ts";
import type { FailoverSettings } from "./options.ts";
import { PublishPath } from "./publish-path.ts";
import { Recovery } from "./recovery.ts";
import { Registry } from "./registry.ts";
import type { SideName } from "./seen.ts";

/** What a failover broker has from open() on. */
export interface Parts {
  readonly capabilities: Capabilities;
  readonly path: PublishPath;
  readonly members: Members;
  readonly drainer: Drainer;
  readonly recovery: Recovery;
  readonly journal: Journal | undefined;
}

/** What the parts need of the broker. */
export interface PartsHost {
  readonly settings: FailoverSettings;
  readonly limits: TimeLimits;
  readonly link: PrimaryLink;
  readonly fence: KeyFence;
  readonly coordination: CoordinationModeManager;
  readonly admin: FailoverAdmin | undefined;
  readonly inboxes: ReadonlySet<FailoverInbox>;
  primaryAbilities(): Capabilities | undefined;
  isolatedSince(): number | undefined;
  closed(): HeraldError | undefined;
  sideFailed(side: SideName, error: HeraldError): void;
  publishFailed(error: HeraldError): void;
  /** Something was written that must be looked after later. */
  wrote(): void;
  fault(error: HeraldError, where: string): void;
}

/** Puts a failover broker together over a fallback that is open. */
export async function makeParts(host: PartsHost, fallbackAbilities: Capabilities): Promise<Parts> {
  const { settings, limits, link } = host;
  const { primary, fallback, callDeadlineMs, durability } = settings;
  const own = fallback.admin as BrokerAdmin;
  const capabilities = weaker(host.primaryAbilities() ?? fallbackAbilities, fallbackAbilities, durability);
  const registry = new Registry(fallback, own);
  await registry.open();
  const members = new Members({
    settings,
    limits,
    registry,
    primaryAbilities: () => host.primaryAbilities(),
    fallbackAbilities,
    isolatedSince: () => host.isolatedSince(),
    isPrimaryUp: () => link.isUp,
    closed: () => host.closed(),
    sideFailed: (side, error) => host.sideFailed(side, error),
  });
  const marks = primary.admin === undefined ? undefined : new Marks(primary, primary.admin, settings.clock);
  const journal = durability === "journal" ? makeJournal(host, own, marks) : undefined;
  await journal?.open();
  const drainer = await makeDrainer(host, registry, capabilities);
  const recovery = new Recovery({
    primary,
    members,
    drainer,
    journal,
    marks,
    admin: host.admin,
    inboxes: host.inboxes,
    within: (promise) => limits.within(promise, callDeadlineMs, "a recovery"),
    failed: (error) => host.fault(error, "primary"),
  });
  const path = makePath(host, { fallbackAbilities, capabilities, journal });
  return { capabilities, path, members, drainer, recovery, journal };
}

async function makeDrainer(
  host: PartsHost,
  registry: Registry,
  capabilities: Capabilities,
): Promise<Drainer> {
  const { primary, fallback, callDeadlineMs } = host.settings;
  const draining = await fallback.subscribe({
    pattern: SPOOL_PATTERN,
    group: DRAIN_GROUP,
    prefetch: DRAIN_PREFETCH,
  });
  const lock = await DrainLock.open(fallback, registry.store, host.limits);
  return new Drainer(
    { subscription: draining, lock },
    {
      primary,
      fallback,
      registry,
      limits: host.limits,
      deadlineMs: callDeadlineMs,
      dedupe: capabilities.dedupe,
      maxBatch: capabilities.maxBatch,
      primaryFailed: (error) => host.sideFailed("primary", error),
      stuck: (_envelope, error) => host.fault(error, "drain"),
      fault: (error) => host.fault(error, "drain"),
    },
  );
}

function makePath(
  host: PartsHost,
  parts: {
    readonly fallbackAbilities: Capabilities;
    readonly capabilities: Capabilities;
    readonly journal: Journal | undefined;
  },
): PublishPath {
  const { settings, limits, link, fence, coordination } = host;
  return new PublishPath(settings, parts.fallbackAbilities, {
    settings,
    clock: settings.clock,
    limits,
    fence,
    usesPrimary: () => link.isUp && coordination.getMode() !== CoordinationMode.ISOLATED,
    isPrimaryUp: () => link.isUp,
    succeeded: () => coordination.recordSuccess(),
    failed: (error) => host.publishFailed(error),
    spooled: () => host.wrote(),
    fallbackFailed: (error) => host.fault(error, "fallback"),
    journal: parts.journal,
    primaryDedupes: parts.capabilities.dedupe,
  });
}

function makeJournal(host: PartsHost, admin: BrokerAdmin, marks: Marks | undefined): Journal {
  const { primary, fallback, callDeadlineMs } = host.settings;
  const ask = <T>(promise: Promise<T>) => host.limits.within(promise, callDeadlineMs, "the journal");
  return new Journal({
    fallback,
    admin,
    publish: (envelopes, options) => ask(primary.publish(envelopes, options)),
    inspect: async (channels) => {
      const reports = [await ask(primary.inspect({ channels })), await fallback.inspect({ channels })];
      // An empty primary has nothing left either, and nothing of it was handled.
      if (host.link.isUp && (marks === undefined || (await ask(marks.isKept())))) return reports;
      const message = "The primary is away: what it has handled is not known. It is asked again.";
      throw new HeraldError("NOT_CONNECTED", message);
    },
    wrote: () => host.wrote(),
  });
}
