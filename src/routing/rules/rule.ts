import { matchToken } from "../../core/pattern.ts";
import type { PriorityName } from "../../core/priority.ts";
import type { Filter } from "../filter.ts";

/** One rule of a `MessageRouting` document: what agents of `source` publish on `channel` also goes to each of `targets`. */
export interface RoutingRule {
  /** As written, else `<document>[<place>]`; unique. */
  readonly id: string;
  /** `metadata.name` of its document. */
  readonly document: string;
  /** An agent's id, or a pattern in which `*` stands for any run of characters. */
  readonly source: string;
  /** A channel name or pattern. */
  readonly channel: string;
  /** Ids of agents, one at least. */
  readonly targets: readonly string[];
  readonly filter?: Filter;
  /** Name of a transform of the same document. */
  readonly transform?: string;
  /** Which rules are looked at first. It is not the message's own priority. */
  readonly priority: PriorityName;
  readonly enabled: boolean;
}

/** What becomes of a message that no rule takes. */
export interface DefaultRoute {
  /** Nothing more than its own channel | also a dead letter | also a copy to `targets`, or to every agent. */
  readonly action: "drop" | "dlq" | "broadcast";
  /** For `broadcast`. Empty: the channel that every agent may listen to. */
  readonly targets: readonly string[];
}

/** Channels that no rule reaches: they carry the runtime's own conversations, and what rules have sent already. */
const EXEMPT = ["reply.", "dlq.", "system.", "agent.", "agent-", "hub-broadcast"];

/** The prefix that keeps a channel, or everything that a pattern could cover, from rules; undefined when rules reach it. */
export function exemptPrefix(channel: string): string | undefined {
  return EXEMPT.find((prefix) => channel.startsWith(prefix));
}

/** Agents of this name, or of a pattern. A pattern never stands for the rule's own targets: what they publish does not come back to them. */
export function takesSource(rule: RoutingRule, agentId: string): boolean {
  return rule.source.includes("*")
    ? matchToken(rule.source, agentId) && !rule.targets.includes(agentId)
    : rule.source === agentId;
}
