import { HeraldError } from "../core/errors.ts";
import type { Stores, StoresSource } from "../core/store.ts";

/** Stores themselves, or what has some to give. Throws `UNSUPPORTED` for a broker without. */
export function storesOf(source: Stores | StoresSource): Stores {
  if ("events" in source) return source;
  const stores = source.createStores?.();
  if (stores !== undefined) return stores;
  const message = `The broker '${source.name ?? "given"}' keeps no event streams: take those of a file or Redis broker beside it, or MemoryStores for what need not last.`;
  throw new HeraldError("UNSUPPORTED", message, { details: { broker: source.name } });
}
