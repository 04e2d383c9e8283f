import type { Ability, Capabilities } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";

/** Something that an agent wants of its broker. */
export interface Need {
  /** One that is on or off, or `ordering`: order per partition key. */
  readonly ability: Ability | "ordering";
  /** Who wants it: agent, and channel if there is one. */
  readonly agentId: string;
  readonly channel?: string;
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
  if (need.ability === "ordering" ? capabilities.ordering !== "none" : capabilities[need.ability]) return;
  const where =
    need.channel === undefined ? `agent '${need.agentId}'` : `agent '${need.agentId}' on '${need.channel}'`;
  const wrapper = WRAPPERS[need.ability];
  const help =
    wrapper === undefined
      ? "use a broker that has it"
      : `wrap the broker with ${wrapper}, or use one that has it`;
  throw new HeraldError(
    "UNSUPPORTED",
    `The broker '${broker}' cannot do '${need.ability}', which ${where} needs for ${need.because}: ${help}.`,
    {
      details: { broker, ...need },
    },
  );
}
