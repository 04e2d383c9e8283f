import type { Broker } from "../core/broker.ts";
import type { Stores } from "../core/store.ts";
import { storesOf } from "../patterns/stores.ts";
import { MemoryStores } from "../stores/memory-stores.ts";

/** What is kept for brokers in memory: as long as the broker itself. */
const inMemory = new WeakMap<Broker, Stores>();

/** Does a broker keep values and event streams? */
export function keepsStores(broker: Broker): boolean {
  return broker.createStores !== undefined || broker.name === "memory";
}

/** The stores of a broker. Throws `UNSUPPORTED` for one that keeps none. */
export function storesOfBroker(broker: Broker): Stores {
  if (broker.name !== "memory" || broker.createStores !== undefined) return storesOf(broker);
  const stores = inMemory.get(broker) ?? new MemoryStores();
  inMemory.set(broker, stores);
  return stores;
}
