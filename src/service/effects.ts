import type { Broker } from "../core/broker.ts";
import type { EffectLedger } from "../core/effect.ts";
import { HeraldError, isHeraldError } from "../core/errors.ts";
import type { Stores } from "../core/store.ts";
import { Ledger } from "../patterns/effects/ledger.ts";
import { storesOf } from "../patterns/stores.ts";
import type { Settings } from "./settings.ts";
import { storesOfBroker } from "./stores.ts";

/** The record of an agent's calls to the outside. Throws `UNSUPPORTED` where there is nothing to keep it in. */
export function effectsOf({ agentId, clock, effects, logger }: Settings, broker: Broker): EffectLedger {
  const { stores, retentionMs, leaseMs } = effects;
  const { values } = stores === undefined ? storesFor(broker) : storesOf(stores);
  return new Ledger({ agentId, values, clock, logger, retentionMs, leaseMs });
}

function storesFor(broker: Broker): Stores {
  try {
    return storesOfBroker(broker);
  } catch (error) {
    if (!isHeraldError(error) || error.code !== "UNSUPPORTED") throw error;
    const message = `The broker '${broker.name}' has nowhere to record effects: give the service 'effects: { stores }', those of a file or Redis broker, or MemoryStores for what need not last.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { broker: broker.name }, cause: error });
  }
}
