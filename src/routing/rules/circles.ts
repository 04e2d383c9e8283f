import { patternsOverlap } from "../../core/pattern.ts";
import { takesSource, type RoutingRule } from "./rule.ts";

const MAX_SHOWN = 12;

/** One step of a circle: by this rule, what `from` publishes goes to `to`. */
export interface CircleStep {
  readonly rule: RoutingRule;
  readonly from: string;
  readonly to: string;
}

/** A rule, and one of the targets that it sends to. */
interface Leg {
  readonly rule: RoutingRule;
  readonly to: string;
}

/** Legs by the first token of their channel: what begins with another one shares no channel. */
class Legs {
  readonly #all: Leg[] = [];
  readonly #byFirst = new Map<string, Leg[]>();
  /** Those that may begin with any token. */
  readonly #any: Leg[] = [];

  add(leg: Leg): this {
    this.#all.push(leg);
    const first = firstOf(leg.rule.channel);
    if (isAny(first)) this.#any.push(leg);
    else if (!this.#byFirst.get(first)?.push(leg)) this.#byFirst.set(first, [leg]);
    return this;
  }

  /** Those that may share a channel with a pattern, and some that do not. */
  near(channel: string): readonly Leg[] {
    const first = firstOf(channel);
    return isAny(first) ? this.#all : [...(this.#byFirst.get(first) ?? []), ...this.#any];
  }
}

function firstOf(channel: string): string {
  return channel.split(".", 1)[0] as string;
}

function isAny(token: string): boolean {
  return token === "#" || token.includes("*");
}

/**
 * A circle of routes: each step's rule sends to the agent whose publishes the next step's rule takes, on a channel that both
 * cover, and the last leads to the first. Undefined when there is none. Filters are not looked at: what they let through
 * is known only when a message is there. Rules that are switched off are no part of a circle.
 */
export function findCircle(rules: readonly RoutingRule[]): readonly CircleStep[] | undefined {
  const legs = rules
    .filter(({ enabled }) => enabled)
    .flatMap((rule) => rule.targets.map((to): Leg => ({ rule, to })));
  const bySource = new Map<string, Legs>();
  for (const leg of legs) {
    const { source } = leg.rule;
    const key = source.includes("*") ? "*" : source;
    const same = bySource.get(key) ?? new Legs();
    bySource.set(key, same.add(leg));
  }
  const next = ({ rule, to }: Leg): Leg[] =>
    [to, "*"]
      .flatMap((source) => bySource.get(source)?.near(rule.channel) ?? [])
      .filter((other) => takesSource(other.rule, to) && patternsOverlap(rule.channel, other.rule.channel));
  return cycleOf(legs, next)?.map(({ rule, to }, at, all) => ({
    rule,
    from: (all.at(at - 1) as Leg).to,
    to,
  }));
}

/** The nodes of one cycle, in its order; without recursion, because a chain of rules may be long. */
function cycleOf<T>(nodes: readonly T[], next: (node: T) => readonly T[]): T[] | undefined {
  const done = new Set<T>();
  for (const start of nodes) {
    if (done.has(start)) continue;
    const trail: { readonly node: T; readonly left: T[] }[] = [{ node: start, left: [...next(start)] }];
    const onTrail = new Set([start]);
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const node = top.left.pop();
      if (node === undefined) {
        done.add(top.node);
        onTrail.delete(top.node);
        trail.pop();
      } else if (onTrail.has(node)) {
        return trail.slice(trail.findIndex((entry) => entry.node === node)).map((entry) => entry.node);
      } else if (!done.has(node)) {
        onTrail.add(node);
        trail.push({ node, left: [...next(node)] });
      }
    }
  }
  return undefined;
}

/** `a → b → a (by the rules x, y)`; of a long circle its beginning and its end. */
export function showCircle(circle: readonly CircleStep[]): string {
  const agents = [circle[0]?.from ?? "", ...circle.map(({ to }) => to)];
  const rules = circle.map(({ rule }) => rule.id);
  return `${shortened(agents).join(" → ")} (by ${shortened(rules).join(", ")})`;
}

function shortened(names: readonly string[]): readonly string[] {
  return names.length <= MAX_SHOWN ? names : [...names.slice(0, 4), "…", ...names.slice(-2)];
}
