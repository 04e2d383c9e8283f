import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  StartFrom,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import { systemClock, type Clock } from "../../core/clock.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, showValue, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Inbox, InboxOptions } from "../../core/store.ts";
import { lowerDurability, weakest } from "../shared/capabilities.ts";
import { keepMsOf, type GatheringHost } from "../shared/gathering.ts";
import { unionOfChannels, worstState } from "../shared/reports.ts";
import { Timers } from "../shared/timers.ts";
import { notOpen } from "../shared/lifecycle.ts";
import { HybridAdmin } from "./admin.ts";
import { MemberResult } from "./delivery.ts";
import { positionParts, type Member } from "./member.ts";
import { Routes, type HybridRoutes } from "./routes.ts";
import { MemberSubscription, SpanningSubscription } from "./subscription.ts";

export type { HybridRoutes } from "./routes.ts";

/** Options of the hybrid broker; all optional. */
export interface HybridOptions {
  /**
   * The route whose member keeps the record behind exactly-once, for all of them. Default: the member that can keep one and
   * survives most; among equals the one whose route comes first by name.
   */
  readonly inbox?: string;
  readonly clock?: Clock;
}

const NOTHING_OPEN: BrokerReport = { state: "down", channels: [], dropped: 0 };
/** Brokers as one, each with the channels that the routes give it. Throws as the class does. */
export function hybrid(routes: HybridRoutes, options?: HybridOptions): HybridBroker {
  return new HybridBroker(routes, options);
}

/**
 * Several brokers as one: every channel is on exactly one of them, that of the most specific route that covers it. What holds
 * for a channel is what its member can do (`capabilitiesOf`); what holds for the whole is what all of them can.
 */
export class HybridBroker implements Broker {
  readonly name: string;
  readonly admin?: BrokerAdmin;
  readonly createInbox?: (options: InboxOptions) => Inbox;
  readonly #routes: Routes;
  readonly #timers: Timers;
  readonly #inboxRoute: string | undefined;
  readonly #spanning = new Set<SpanningSubscription>();
  readonly #host: GatheringHost;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` or `INVALID_CHANNEL`, saying which route or option is wrong and why. */
  constructor(routes: HybridRoutes, options: HybridOptions = {}) {
    this.#routes = new Routes(routes);
    const { members } = this.#routes;
    this.name = `hybrid(${members.map(({ broker }) => broker.name).join(", ")})`;
    this.#timers = new Timers(options.clock ?? systemClock);
    this.#inboxRoute = checkInbox(options.inbox, this.#routes);
    if (members.some(({ admin }) => admin !== undefined)) this.admin = new HybridAdmin(this.#routes);
    if (members.some(({ broker }) => broker.createInbox !== undefined))
      this.createInbox = (inboxOptions) => this.#keeper().broker.createInbox?.(inboxOptions) as Inbox;
    this.#host = {
      timers: this.#timers,
      closed: () => (this.#state === "closed" ? closed() : undefined),
      left: (gathering) => this.#spanning.delete(gathering as SpanningSubscription),
      fault: (error, where) => emit("fault", () => ({ agent: this.name, error, where })),
    };
  }

  /** Rejects, after closing those that could be opened, when one member cannot be: with its code, naming it. */
  async open(signal?: AbortSignal): Promise<Capabilities> {
    if (this.#state === "closed") throw closed();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This hybrid broker is open already.");
    this.#state = "opening";
    const opened = await Promise.allSettled(this.#routes.members.map((member) => member.open(signal)));
    const failed = opened.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      await this.close();
      throw failed.reason;
    }
    if ((this.#state as string) === "closed") throw closed();
    this.#state = "open";
    return weakest(this.#routes.members.map(({ capabilities }) => capabilities));
  }

  capabilitiesOf(pattern: string): Capabilities {
    this.#checkOpen();
    return weakest(this.#routes.spanned(pattern).map((member) => member.capabilitiesOf(pattern)));
  }

  /** A member that rejects fails only what was for it, each in its place. */
  async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    this.#checkOpen();
    const [first] = envelopes;
    if (first === undefined) return [];
    const only = this.#routes.memberFor(first);
    if (envelopes.every((envelope) => this.#routes.memberFor(envelope) === only))
      return publishOn(only, envelopes, options);
    const parts = Map.groupBy(envelopes.keys(), (at) => this.#routes.memberFor(envelopes[at] as Envelope));
    const results: PublishResult[] = [];
    await Promise.all(
      [...parts].map(async ([member, places]) => {
        const part = places.map((at) => envelopes[at] as Envelope);
        const answers = await publishOn(member, part, options).catch(
          (error: unknown) => ({ ok: false, error: toHeraldError(error) }) as const,
        );
        for (const [n, at] of places.entries())
          results[at] = "ok" in answers ? answers : (answers[n] as PublishResult);
      }),
    );
    return results;
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    this.#checkOpen();
    checkSpec(spec);
    const members = this.#routes.spanned(spec.pattern);
    const own = { ...spec, ...this.#startOf(spec, members) };
    const [first, ...others] = members;
    if (first !== undefined && others.length === 0)
      return new MemberSubscription(first, await first.broker.subscribe(own));
    const parts = await subscribeOn(members, own);
    const isExact = members.every((member) => member.capabilitiesOf(spec.pattern).exactAttempts);
    const options = { prefetch: spec.prefetch, keepMs: keepMsOf(isExact) };
    const spanning = new SpanningSubscription(parts, options, this.#host);
    if (this.#state !== "open") {
      await spanning.close();
      throw closed();
    }
    this.#spanning.add(spanning);
    return spanning;
  }

  /** The worst state of the members, and every channel. A member that cannot be asked is down. */
  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open") return NOTHING_OPEN;
    const { channels } = query;
    const reports = await Promise.all(
      this.#routes.members.map(({ broker }) => {
        const own = channels?.filter((name) =>
          this.#routes.membersOf(name).some((member) => member.broker === broker),
        );
        return broker.inspect(own === undefined ? {} : { channels: own }).catch(() => NOTHING_OPEN);
      }),
    );
    return {
      state: worstState(reports.map(({ state }) => state)),
      channels: unionOfChannels(reports.flatMap((report) => report.channels)),
      dropped: reports.reduce((sum, { dropped }) => sum + dropped, 0),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = "closed";
    await Promise.allSettled([...this.#spanning].map((subscription) => subscription.close()));
    const ended = await Promise.allSettled(this.#routes.members.map(({ broker }) => broker.close()));
    this.#timers.clear();
    for (const result of ended) if (result.status === "rejected") throw result.reason;
  }

  /** A position is a place on one member: the same pattern must not be read on others as well. */
  #startOf({ from, pattern }: SubscriptionSpec, members: readonly Member[]): { readonly from?: StartFrom } {
    if (typeof from !== "object" || !("position" in from)) return {};
    const parts = positionParts(String(from.position));
    const member = parts === undefined ? undefined : this.#routes.memberWith(parts.pattern);
    if (parts !== undefined && member !== undefined && members.length === 1 && members[0] === member)
      return { from: { position: parts.own } };
    // A member that cannot start at a position at all says so itself.
    if (members.some((one) => !one.capabilitiesOf(pattern).replayByPosition))
      return { from: { position: parts?.own ?? String(from.position) } };
    const why =
      member === undefined
        ? "is none of this hybrid broker"
        : `is one of '${member.broker.name}', and '${pattern}' is read on ${members.map(({ broker }) => `'${broker.name}'`).join(", ")}`;
    const message = `The position ${showValue(from.position)} ${why}: start at a time, or subscribe to a channel of that member.`;
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
  }

  /** One record for all members: an id that a group has handled is known, whichever member it comes from. */
  #keeper(): Member {
    const { members } = this.#routes;
    if (this.#inboxRoute !== undefined) return this.#routes.memberWith(this.#inboxRoute) as Member;
    return members
      .filter(({ broker }) => broker.createInbox !== undefined)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .reduce((best, member) => {
        const [one, other] = [best.capabilities.durability, member.capabilities.durability];
        return one !== other && lowerDurability(one, other) === one ? member : best;
      });
  }

  #checkOpen(): void {
    if (this.#state !== "open") throw closed();
  }
}

async function publishOn(
  member: Member,
  envelopes: readonly Envelope[],
  options: BrokerPublishOptions | undefined,
): Promise<readonly PublishResult[]> {
  const results = await member.broker.publish(envelopes, options);
  return results.map((result) => (result.ok ? new MemberResult(member, result) : result));
}

/** On every one of them, or on none. */
async function subscribeOn(
  members: readonly Member[],
  spec: SubscriptionSpec,
): Promise<readonly { readonly member: Member; readonly subscription: Subscription }[]> {
  const made = await Promise.allSettled(
    members.map(async (member) => ({ member, subscription: await member.broker.subscribe(spec) })),
  );
  const failed = made.find((result) => result.status === "rejected");
  const parts = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return parts;
  await Promise.allSettled(parts.map(({ subscription }) => subscription.close()));
  throw failed.reason;
}

function checkInbox(route: string | undefined, routes: Routes): string | undefined {
  if (route === undefined) return undefined;
  const member = routes.memberWith(route);
  if (member?.broker.createInbox !== undefined) return route;
  const why =
    member === undefined ? "is no route" : `leads to '${member.broker.name}', which cannot keep one`;
  const message = `The option inbox names ${showValue(route)}, which ${why}: name the route of a member that keeps the record behind exactly-once.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "inbox" } });
}

const closed = (): HeraldError => notOpen("hybrid");
