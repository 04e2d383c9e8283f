import type { Ability, Capabilities } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";

/** Something that an agent wants of its broker. */
export interface Need {
  /** One that is on or off, or `ordering`: order per partition key. */
  readonly ability: Ability | "ordering";
  /** Who wants it, and on which channel or pattern. */
  readonly agentId: string;
  readonly channel: string;
  /** What it is wanted for. */
  readonly because: string;
}

/** Wrappers of `herald/brokers/emulate` that supply an ability which a broker lacks. */
const WRAPPERS: Partial<Record<Need["ability"], string>> = {
  delay: "withDelay",
  nackDelay: "withDelay",
  wildcard: "withWildcard",
  broadcast: "withBroadcast",
  priority: "withPriority",
};

/** Can it do this? */
export function can(capabilities: Capabilities, ability: Need["ability"]): boolean {
  return ability === "ordering" ? capabilities.ordering !== "none" : capabilities[ability];
}

/** Rejects with `UNSUPPORTED` when the broker cannot do what is needed: never a silent downgrade. */
export function requireAbility(broker: string, capabilities: Capabilities, need: Need): void {
  const { ability, agentId, channel, because } = need;
  if (can(capabilities, ability)) return;
  const wrapper = WRAPPERS[ability];
  const wrap =
    wrapper === undefined
      ? "use a broker that"
      : `wrap the broker in ${wrapper} of herald/brokers/emulate, or use one that`;
  const message = `The broker '${broker}' cannot do '${ability}', which agent '${agentId}' on '${channel}' needs for ${because}: ${wrap} has it.`;
  throw new HeraldError("UNSUPPORTED", message, { details: { broker, ...need } });
}
