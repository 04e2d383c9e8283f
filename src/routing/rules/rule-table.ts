import type { Message } from "../../core/message.ts";
import { matchPattern, matchToken } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { compileFilter } from "../filter.ts";
import { exemptPrefix, takesSource, type DefaultRoute, type RoutingRule } from "./rule.ts";

/** One agent that is to get a copy, and the rule that says so. */
export interface PlannedCopy {
  readonly target: string;
  readonly rule: RoutingRule;
}

/** What rules make of one message. */
export interface Plan {
  readonly copies: readonly PlannedCopy[];
  /** Set when no rule took it. */
  readonly otherwise: DefaultRoute | undefined;
}

/** What one rule did with a message, and why. */
export interface Verdict {
  readonly rule: RoutingRule;
  readonly applied: boolean;
  /** One clause: what did not fit, or what was sent where. */
  readonly because: string;
  /** Agents that get their copy by this rule. */
  readonly targets: readonly string[];
}

interface Entry {
  readonly rule: RoutingRule;
  /** Place among all rules: by priority, then as written. */
  readonly order: number;
  readonly passes: (message: Message) => boolean;
}

const PRIORITIES = ["critical", "high", "normal", "low"];
const NOTHING: Plan = { copies: [], otherwise: undefined };

/**
 * Rules in the order in which they are looked at: by priority, then as written. All that fit apply; an agent that
 * several of them name gets one copy, by the first. Found by the tokens of the channel, so that rules for other channels cost nothing.
 */
export class RuleTable {
  readonly #trie = new PatternTrie<Entry>();
  readonly #entries: readonly Entry[];
  readonly #otherwise: DefaultRoute;

  /** Throws `INVALID_ARGUMENT` for a filter that cannot be compiled. */
  constructor(rules: readonly RoutingRule[], otherwise: DefaultRoute) {
    this.#otherwise = otherwise;
    this.#entries = rules
      .toSorted((a, b) => PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority))
      .map((rule, order) => ({
        rule,
        order,
        passes: rule.filter === undefined ? () => true : compileFilter(rule.filter),
      }));
    for (const entry of this.#entries) if (entry.rule.enabled) this.#trie.add(entry.rule.channel, entry);
  }

  get rules(): readonly RoutingRule[] {
    return this.#entries.map(({ rule }) => rule);
  }

  /** Which agents get a copy of a message that its source publishes. */
  plan(message: Message): Plan {
    const { channel } = message;
    if (exemptPrefix(channel) !== undefined) return NOTHING;
    const found = this.#trie.match(channel).filter((entry) => this.#fits(entry, message));
    if (found.length === 0) return { copies: [], otherwise: this.#otherwise };
    if (found.length > 1) found.sort((a, b) => a.order - b.order);
    const copies = new Map<string, PlannedCopy>();
    for (const { rule } of found)
      for (const target of rule.targets) if (!copies.has(target)) copies.set(target, { target, rule });
    return { copies: [...copies.values()], otherwise: undefined };
  }

  /** What every rule makes of a message and why, in the order in which they are looked at. */
  explain(message: Message): Verdict[] {
    const exempt = exemptPrefix(message.channel);
    const taken = new Map<string, string>();
    return this.#entries.map((entry) => {
      const { rule } = entry;
      const why =
        exempt === undefined
          ? this.#why(entry, message)
          : `rules do not reach channels that begin with ${exempt}`;
      if (why !== undefined) return { rule, applied: false, because: why, targets: [] };
      const targets = rule.targets.filter((target) => !taken.has(target));
      const others = rule.targets.flatMap((target) =>
        taken.has(target) ? `${target} has its copy by ${taken.get(target)}` : [],
      );
      for (const target of targets) taken.set(target, rule.id);
      const sent = targets.length === 0 ? [] : [`a copy goes to ${targets.join(", ")}`];
      return { rule, applied: true, because: [...sent, ...others].join("; "), targets };
    });
  }

  #fits({ rule, passes }: Entry, message: Message): boolean {
    return takesSource(rule, message.source) && passes(message);
  }

  /** Why a rule does not take a message; undefined when it does. */
  #why({ rule, passes }: Entry, message: Message): string | undefined {
    const { source, channel } = message;
    if (!rule.enabled) return "it is switched off (enabled: false)";
    if (!matchPattern(rule.channel, channel)) return `its channel ${rule.channel} does not cover ${channel}`;
    if (!takesSource(rule, source))
      return rule.targets.includes(source) && matchToken(rule.source, source)
        ? `its source ${rule.source} does not stand for ${source}, which is one of its targets`
        : `its source ${rule.source} is not ${source}`;
    return passes(message) ? undefined : failedParts(rule, message);
  }
}

/** The parts of a filter that do not hold, each tried alone. */
function failedParts({ filter = {} }: RoutingRule, message: Message): string {
  const fields = Object.entries(filter.fields ?? {})
    .filter(([name, wanted]) => !compileFilter({ fields: { [name]: wanted } })(message))
    .map(([name, wanted]) => `its filter wants ${name} to be ${JSON.stringify(wanted)}`);
  const { expression } = filter;
  const isFalse = expression !== undefined && !compileFilter({ expression })(message);
  return [...fields, ...(isFalse ? [`its filter's expression does not hold: ${expression}`] : [])].join("; ");
}
