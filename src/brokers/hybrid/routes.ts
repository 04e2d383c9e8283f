import type { Broker } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { DEAD_LETTERS, isDeadLetterChannel } from "../../core/names.ts";
import { checkPattern, isChannelName, matchPattern } from "../../core/pattern.ts";
import { coversPattern, patternsMeet } from "../../core/pattern-sets.ts";
import { Member } from "./member.ts";

/** Channel patterns, each with the broker that its channels are on. One of them is `#`. Several may name one broker. */
export type HybridRoutes = Readonly<Record<string, Broker>>;

interface Route {
  readonly pattern: string;
  readonly member: Member;
}

const EVERYTHING = "#";
const ALL_DEAD_LETTERS = `${DEAD_LETTERS}#`;
/** Of a dead letter: the channel that it was given up on. */
const SOURCE_CHANNEL = "x-dlq-channel";
const BROKER_METHODS = ["open", "publish", "subscribe", "inspect", "close"] as const;
const MAX_CACHED = 10_000;

/**
 * Which member a channel is on: that of the most specific route that covers it. A route is more specific than another when the
 * other covers all that it covers. Two routes that overlap otherwise, and lead to different members, are refused.
 */
export class Routes {
  readonly members: readonly Member[];
  /** The more specific before the less. */
  readonly #routes: readonly Route[];
  readonly #cache = new Map<string, Route>();

  /** Throws `INVALID_ARGUMENT` or `INVALID_CHANNEL`, saying which route is wrong and why. */
  constructor(routes: HybridRoutes) {
    const entries = entriesOf(routes);
    const brokers = new Map<Broker, string[]>();
    for (const [pattern, broker] of entries) brokers.set(broker, [...(brokers.get(broker) ?? []), pattern]);
    const members = new Map([...brokers].map(([broker, own]) => [broker, new Member(broker, own)]));
    this.members = [...members.values()];
    const all = entries.map(([pattern, broker]) => ({ pattern, member: members.get(broker) as Member }));
    checkUnambiguous(all);
    const rank = ({ pattern }: Route) => all.filter((other) => coversPattern(other.pattern, pattern)).length;
    this.#routes = all.toSorted((a, b) => rank(b) - rank(a));
  }

  /** The member that the routes give a channel to. */
  memberOf(channel: string): Member {
    return this.#routeOf(channel).member;
  }

  /** The member that an envelope is published on: dead letters lie where their message came from. */
  memberFor({ channel, headers }: Envelope): Member {
    if (!isDeadLetterChannel(channel) || !this.follows(channel)) return this.memberOf(channel);
    const source = headers[SOURCE_CHANNEL];
    if (source !== undefined && isChannelName(source)) {
      const member = this.memberOf(source);
      if (member.admin !== undefined) return member;
    }
    return this.memberOf(channel);
  }

  /** True for a channel of dead letters that no route names, so that each lies on the member of its source. */
  follows(channel: string): boolean {
    return isDeadLetterChannel(channel) && !isAboutDeadLetters(this.#routeOf(channel).pattern);
  }

  /** The members that a channel may lie on: one, but for dead letters that follow their source. */
  membersOf(channel: string): readonly Member[] {
    return this.follows(channel) ? this.members : [this.memberOf(channel)];
  }

  /** The members that channels of a pattern may lie on. */
  spanned(pattern: string): readonly Member[] {
    if (this.#meetsFollowing(pattern)) return this.members;
    const found = new Set<Member>();
    for (const route of this.#routes) {
      if (!patternsMeet(route.pattern, pattern)) continue;
      found.add(route.member);
      // Nothing of the pattern is left for less specific routes.
      if (coversPattern(route.pattern, pattern)) break;
    }
    return [...found];
  }

  /** The member with this route. */
  memberWith(pattern: string): Member | undefined {
    return this.members.find(({ patterns }) => patterns.includes(pattern));
  }

  #routeOf(channel: string): Route {
    const known = this.#cache.get(channel);
    if (known !== undefined) return known;
    const valid = isChannelName(channel);
    const route = this.#routes.find(
      ({ pattern }) => pattern === EVERYTHING || (valid && matchPattern(pattern, channel)),
    ) as Route;
    if (!valid) return route;
    if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
    this.#cache.set(channel, route);
    return route;
  }

  #meetsFollowing(pattern: string): boolean {
    if (!patternsMeet(pattern, ALL_DEAD_LETTERS)) return false;
    return !this.#routes.some(
      (route) =>
        isAboutDeadLetters(route.pattern) &&
        (coversPattern(route.pattern, pattern) || coversPattern(route.pattern, ALL_DEAD_LETTERS)),
    );
  }
}

/** A route that means dead letters and not only happens to cover them. */
function isAboutDeadLetters(pattern: string): boolean {
  return pattern.startsWith(DEAD_LETTERS);
}

function entriesOf(routes: HybridRoutes): readonly (readonly [string, Broker])[] {
  if (typeof routes !== "object" || (routes as unknown) === null)
    throw wrong("routes", `Routes must be an object of patterns and brokers, not ${showValue(routes)}.`);
  const entries = Object.entries(routes);
  for (const [pattern, broker] of entries) {
    checkPattern(pattern);
    const given = broker as Partial<Broker> | null | undefined;
    if (BROKER_METHODS.every((name) => typeof given?.[name] === "function")) continue;
    throw wrong(pattern, `The route '${pattern}' must lead to a broker, not to ${showValue(broker)}.`);
  }
  if (entries.some(([pattern]) => pattern === EVERYTHING)) return entries;
  throw wrong(EVERYTHING, "No route covers every channel: add '#' with the broker for all the rest.");
}

function checkUnambiguous(routes: readonly Route[]): void {
  for (const [at, one] of routes.entries()) {
    for (const other of routes.slice(at + 1)) {
      if (one.member === other.member || !patternsMeet(one.pattern, other.pattern)) continue;
      const [outer, inner] = [
        coversPattern(one.pattern, other.pattern),
        coversPattern(other.pattern, one.pattern),
      ];
      if (outer !== inner) continue;
      const why = outer ? "cover the same channels" : "overlap, and neither covers all of the other";
      const message = `The routes '${one.pattern}' and '${other.pattern}' ${why}: make one of them narrower, or give both to one broker.`;
      throw wrong(other.pattern, message);
    }
  }
}

function wrong(field: string, message: string): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}
