import type { BrokerView } from "../patterns/messaging.ts";
import { can, requireAbility } from "./check.ts";
import type { Runtime } from "./runtime.ts";

/** The broker of a running service, as patterns see it. */
export function viewOf(runtime: Runtime): BrokerView {
  const { broker, capabilities, settings } = runtime;
  return {
    name: broker.name,
    capabilities,
    admin: broker.admin,
    can: (ability, channel) => can(runtime.capabilitiesOf(channel), ability),
    require: (ability, channel, because) =>
      requireAbility(broker.name, runtime.capabilitiesOf(channel), {
        ability,
        agentId: settings.agentId,
        channel,
        because,
      }),
    ensureGroup: async (channel, group) => {
      const { prefetch } = settings;
      await (await broker.subscribe({ pattern: channel, group, prefetch })).close();
    },
    isFirst: async (channel, id, ttlSeconds) =>
      !(await runtime.send(channel, null, { id, ttlSeconds, dedupe: true }, { isOwn: true })).deduplicated,
    note: async (channel, partitionKey, headers) => {
      await runtime.send(channel, null, { partitionKey, headers }, { isOwn: true });
    },
  };
}
