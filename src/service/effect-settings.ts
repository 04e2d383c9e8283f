import type { Stores, StoresSource } from "../core/store.ts";
import { aboveZero, checkOptions, wrongOption } from "./check-options.ts";
import type { EffectOptions } from "./options.ts";

/** How calls to the outside are recorded, with every default filled in. */
export interface EffectSettings {
  /** Undefined: in the broker's. */
  readonly stores: Stores | StoresSource | undefined;
  readonly retentionMs: number;
  readonly leaseMs: number;
}

const DAY_MS = 86_400_000;

/** Fills in what is not given. Throws `INVALID_ARGUMENT` naming the field. */
export function effectSettings(options: EffectOptions = {}): EffectSettings {
  checkOptions(options);
  const { stores, retentionDays = 30, leaseMs = 10_000 } = options;
  if (stores !== undefined && !("values" in stores) && typeof stores?.createStores !== "function")
    throw wrongOption("effects.stores", "stores, or a broker that keeps some", stores);
  return {
    stores,
    retentionMs: aboveZero("effects.retentionDays", retentionDays) * DAY_MS,
    leaseMs: aboveZero("effects.leaseMs", leaseMs),
  };
}
