import type { Broker } from "../../core/broker.ts";
import { systemClock, type Clock } from "../../core/clock.ts";
import type { CoordinationState } from "./coordination-mode.ts";
import type { CoordinationConfig } from "./mode-options.ts";
import { OptionCheck } from "../shared/option-check.ts";

/** Options of the failover broker; the two brokers are required. */
export interface FailoverBrokerOptions {
  /** Where publishers write while it is well. Not open yet. */
  readonly primary: Broker;
  /** Where they write while it is not; processes that share it share what was written. Not open yet. */
  readonly fallback: Broker;
  /**
   * What an acknowledged publish has reached. `primary` (default): the primary, or the fallback while the primary is away.
   * `journal`: the fallback first, then the primary; kept there until it was handled, so that a primary that comes back
   * empty or old is filled again.
   */
  readonly durability?: "primary" | "journal";
  /** How the mode is decided. */
  readonly coordination?: CoordinationConfig;
  /** Where the mode is kept. Default: nowhere. */
  readonly state?: CoordinationState;
  readonly clock?: Clock;
  /** How long the primary may take to answer a publish; then the fallback takes it. Default 1000. */
  readonly publishDeadlineMs?: number;
  /** How long the primary may take to answer anything else. Default 2000. */
  readonly callDeadlineMs?: number;
  /** How long opening waits for the primary before it begins without it. Default 5000. */
  readonly openDeadlineMs?: number;
  /** Slower than this the primary counts as degraded. Default 100. */
  readonly degradedLatencyMs?: number;
  /** Envelopes that may wait for the primary's answer; more are pushed back. Default 10,000. */
  readonly maxPendingMessages?: number;
  /** How long a publish is pushed back before it goes to the fallback. Default 250. */
  readonly spillAfterMs?: number;
  /** Settlements kept for a side that is away. Default 100,000; one more is `OVERLOADED`. */
  readonly maxKeptSettlements?: number;
}

/** Options with every default filled in. */
export type FailoverSettings = Required<Omit<FailoverBrokerOptions, "state">> &
  Pick<FailoverBrokerOptions, "state">;

const check = new OptionCheck("Failover");
const BROKER_METHODS = ["open", "publish", "subscribe", "inspect", "close"] as const;

/** Checks the options and fills in the defaults. Throws `INVALID_ARGUMENT` naming the field. */
export function failoverSettings(options: FailoverBrokerOptions): FailoverSettings {
  for (const side of ["primary", "fallback"] as const) {
    const broker = (options as Partial<FailoverBrokerOptions> | undefined)?.[side];
    if (broker === undefined || BROKER_METHODS.some((name) => typeof broker[name] !== "function"))
      throw check.wrong(side, "a broker", broker);
  }
  if (options.primary === options.fallback)
    throw check.wrong("fallback", "another broker than the primary", "the same");
  const settings: FailoverSettings = {
    durability: "primary",
    coordination: {},
    clock: systemClock,
    publishDeadlineMs: 1000,
    callDeadlineMs: 2000,
    openDeadlineMs: 5000,
    degradedLatencyMs: 100,
    maxPendingMessages: 10_000,
    spillAfterMs: 250,
    maxKeptSettlements: 100_000,
    ...options,
  };
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "number" && !(value >= 0)) throw check.wrong(name, "a number of 0 or more", value);
  }
  if (settings.durability !== "primary" && settings.durability !== "journal")
    throw check.wrong("durability", "primary or journal", settings.durability);
  return settings;
}
