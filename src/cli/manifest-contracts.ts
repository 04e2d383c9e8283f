import { isWildcard, matchPattern } from "../core/pattern.ts";
import type { LoadedAgent } from "../service/load-agents.ts";

/** Something that may be published, with the schema that it is held to. */
export interface Contract {
  readonly channel: string;
  readonly schema?: unknown;
}

/**
 * What the manifests say of one channel: the schema of an agent that publishes there, else of one that listens there and
 * nowhere else. None when no manifest has a schema for it.
 */
export function contractsOf(agents: readonly LoadedAgent[], channel: string): readonly Contract[] {
  const specs = agents.map(({ manifest }) => manifest.messaging);
  const declared = [
    ...specs.flatMap(({ publishes }) => publishes),
    ...specs.flatMap(({ subscribes }) => subscribes),
  ];
  const found = declared.find((candidate) => candidate.channel === channel && candidate.schema !== undefined);
  return found?.schema === undefined ? [] : [{ channel, schema: found.schema }];
}

/** Agents whose subscriptions cover a channel. */
export function listenersOf(agents: readonly LoadedAgent[], channel: string): string[] {
  const listening = agents.filter(({ agent }) =>
    agent.listSubscriptions().some((subscription) => matchPattern(subscription.channel, channel)),
  );
  return listening.map(({ agent }) => agent.agentId);
}

/** Channels, no patterns, that the manifests declare. */
export function channelsOf(agents: readonly LoadedAgent[]): string[] {
  const known = agents.flatMap(({ manifest: { messaging } }) =>
    [...messaging.publishes, ...messaging.subscribes].map((declared) => declared.channel),
  );
  return known.filter((name) => !isWildcard(name));
}
