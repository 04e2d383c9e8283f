import type { Broker, Capabilities } from "../core/broker.ts";

interface Shared {
  readonly opened: Promise<Capabilities>;
  users: number;
}

const shared = new WeakMap<Broker, Shared>();

/** One service's use of a broker that others may use as well. */
export interface BrokerLease {
  readonly broker: Broker;
  readonly capabilities: Capabilities;
  /** The last to release closes the broker, unless it is to be kept open. */
  release(options: { readonly keepOpen: boolean }): Promise<void>;
}

/** Opens a broker for a service, or joins those that use it already: several agents of a process may share one instance. */
export async function leaseBroker(broker: Broker): Promise<BrokerLease> {
  const entry = shared.get(broker) ?? { opened: broker.open(), users: 0 };
  shared.set(broker, entry);
  entry.users++;
  try {
    const capabilities = await entry.opened;
    return { broker, capabilities, release: ({ keepOpen }) => release(broker, entry, keepOpen) };
  } catch (error) {
    entry.users--;
    shared.delete(broker);
    throw error;
  }
}

async function release(broker: Broker, entry: Shared, keepOpen: boolean): Promise<void> {
  entry.users--;
  if (entry.users > 0 || keepOpen) return;
  shared.delete(broker);
  await broker.close();
}
