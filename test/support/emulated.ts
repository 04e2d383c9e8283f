import { withBroadcast, withDelay, withPriority, withWildcard } from "../../src/brokers/emulate/broker.ts";
import type { Ability, Broker } from "../../src/core/broker.ts";
import type { Clock } from "../../src/core/clock.ts";
import { LessBroker } from "./less-broker.ts";

/** What a wrapper supplies, and what is taken from a broker so that it has something to supply. */
export interface Emulated {
  readonly off: readonly Ability[];
  readonly wrap: (broker: Broker, options: { readonly clock?: Clock }) => Broker;
}

/** Every wrapper, and all of them around one another. */
export const EMULATED = {
  delay: { off: ["delay", "nackDelay"], wrap: withDelay },
  wildcard: { off: ["wildcard"], wrap: withWildcard },
  broadcast: { off: ["broadcast"], wrap: withBroadcast },
  priority: { off: ["priority"], wrap: withPriority },
  all: {
    off: ["delay", "nackDelay", "wildcard", "broadcast", "priority"],
    wrap: (broker, options) =>
      withPriority(withDelay(withBroadcast(withWildcard(broker, options), options), options), options),
  },
} as const satisfies Readonly<Record<string, Emulated>>;

/** The name of one of {@link EMULATED}. */
export type EmulatedName = keyof typeof EMULATED;

/** A broker from which something is taken away, and the wrapper around it that supplies it. */
export function emulated(
  name: EmulatedName,
  broker: Broker,
  options: { readonly clock?: Clock } = {},
): Broker {
  const { off, wrap } = EMULATED[name];
  return wrap(new LessBroker(broker, off), options);
}
