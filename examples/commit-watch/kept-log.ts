import { DeliveryGuarantee, type ChannelDefinition, type MessagingService } from "../../src/index.ts";

/** How long a run can be taken up again: what it is counted from is kept as long, and ids are recognised as long. */
export const KEPT_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * Everything that a kept channel holds at this moment, the oldest first, each id once. Reading takes nothing away and is
 * nobody's work: a broadcast that starts at the beginning.
 */
export async function readLog<T>(agent: MessagingService, log: ChannelDefinition<T>): Promise<readonly T[]> {
  const length = await lengthOf(agent, log.channel);
  const entries = new Map<string, T>();
  if (length === 0) return [];
  let seen = 0;
  const { promise: complete, resolve } = Promise.withResolvers<void>();
  const subscription = await agent.subscribe(
    log,
    ({ id, payload }) => {
      if (!entries.has(id)) entries.set(id, payload);
      if (++seen === length) resolve();
    },
    { group: null, from: "earliest", guarantee: DeliveryGuarantee.AT_MOST_ONCE, prefetch: 1000 },
  );
  await complete;
  await subscription.unsubscribe();
  return [...entries.values()];
}

async function lengthOf(agent: MessagingService, channel: string): Promise<number> {
  const channels = await agent.listChannels();
  return channels.find((known) => known.channel === channel)?.depth ?? 0;
}
