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

/** Wrappers that supply an ability which a broker lacks. */
const WRAPPERS: Partial<Record<Need["ability"], string>> = {
  delay: "emulate/delay",
  nackDelay: "emulate/delay",
  wildcard: "emulate/wildcard",
  broadcast: "emulate/broadcast",
  priority: "emulate/priority",
};

/** Rejects with `UNSUPPORTED` when the broker cannot do what is needed: never a silent downgrade. */
export function requireAbility(broker: string, capabilities: Capabilities, need: Need): void {
  const { ability, agentId, channel, because } = need;
  if (ability === "ordering" ? capabilities.ordering !== "none" : capabilities[ability]) return;
  const wrapper = WRAPPERS[ability];
  const wrap =
    wrapper === undefined ? "use a broker that" : `wrap the broker with ${wrapper}, or use one that`;
  const message = `The broker '${broker}' cannot do '${ability}', which agent '${agentId}' on '${channel}' needs for ${because}: ${wrap} has it.`;
  throw new HeraldError("UNSUPPORTED", message, { details: { broker, ...need } });
}
