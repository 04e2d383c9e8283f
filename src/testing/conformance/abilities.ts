import { ABILITIES, type Broker, type Capabilities } from "../../core/broker.ts";
import { TRAITS, type Harness, type Need, type Trait } from "./harness.ts";

/** Everything that a broker and its harness have. */
export function abilitiesOf(harness: Harness, broker: Broker, capabilities: Capabilities): ReadonlySet<Need> {
  const found = new Set<Need>(harness.traits ?? []);
  for (const ability of ABILITIES) if (capabilities[ability]) found.add(ability);
  const derived: readonly (readonly [Trait, boolean])[] = [
    ["persist", capabilities.durability !== "none"],
    ["xproc", harness.child !== undefined],
    ["server", harness.server !== undefined],
    ["operator", harness.operator !== undefined],
    ["disk", harness.disk !== undefined],
    ["failover", harness.primary !== undefined],
    ["keyOrder", capabilities.ordering !== "none"],
    ["replay", capabilities.replayByPosition || capabilities.replayByTime],
    ["admin", broker.admin !== undefined],
    ["dropGroup", broker.admin?.dropGroup !== undefined],
    ["stepped", harness.clock !== undefined],
    ["dedupeWindow", harness.dedupeWindowMs !== undefined],
    ["inbox", harness.createInbox !== undefined],
  ];
  for (const [trait, holds] of derived) if (holds) found.add(trait);
  return found;
}

/** The traits among what a broker has, in their order. */
export function traitsOf(abilities: ReadonlySet<Need>): readonly Trait[] {
  return TRAITS.filter((trait) => abilities.has(trait));
}
