import { ABILITIES, type Ability, type Capabilities, type Durability } from "../../core/broker.ts";

const DURABILITIES: readonly Durability[] = ["none", "process", "os", "power"];
const ORDERINGS: readonly Capabilities["ordering"][] = ["none", "key", "channel"];

/** The one that survives less. */
export function lowerDurability(a: Durability, b: Durability): Durability {
  return DURABILITIES.indexOf(a) < DURABILITIES.indexOf(b) ? a : b;
}

/** The one that promises less. */
export function lowerOrdering(
  a: Capabilities["ordering"],
  b: Capabilities["ordering"],
): Capabilities["ordering"] {
  return ORDERINGS.indexOf(a) < ORDERINGS.indexOf(b) ? a : b;
}

/** What all of them can do; there must be one. */
export function weakest(all: readonly Capabilities[]): Capabilities {
  return all.reduce((one, other) => {
    if (one === other) return one;
    const both = ABILITIES.map((ability) => [ability, one[ability] && other[ability]] as const);
    return {
      ...(Object.fromEntries(both) as Record<Ability, boolean>),
      durability: lowerDurability(one.durability, other.durability),
      ordering: lowerOrdering(one.ordering, other.ordering),
      maxBatch: Math.min(one.maxBatch, other.maxBatch),
      maxBodyBytes: Math.min(one.maxBodyBytes, other.maxBodyBytes),
    };
  });
}
