import type { Ability, Broker } from "../../core/broker.ts";
import type { Clock } from "../../core/clock.ts";
import type { Inbox } from "../../core/store.ts";
import type { FakeClock } from "../fake-clock.ts";
import type { ServicePort, ServicePortOptions } from "../service-port.ts";

/**
 * What a case may need beside the abilities of `Capabilities`. `persist`: an acknowledged publish survives the process.
 * `xproc`: several processes share one broker. `server`: the harness can restart the technology. `keyOrder`: order per
 * key. `replay`: by position or time. `admin`: channels can be looked after. `bounded`: the harness can make a broker
 * that is soon full. `stepped`: the broker takes a clock. `dedupeWindow`: the harness knows the window. `inbox`: it can
 * make the record behind exactly-once.
 */
export const TRAITS = [
  "persist",
  "xproc",
  "server",
  "keyOrder",
  "replay",
  "admin",
  "bounded",
  "stepped",
  "dedupeWindow",
  "inbox",
  "tx",
  "failover",
  "saga",
  "events",
  "security",
] as const;

/** One name of {@link TRAITS}. */
export type Trait = (typeof TRAITS)[number];

/** What a case needs so that it applies. */
export type Need = Ability | Trait;

/** How full a broker may get before it pushes back. */
export interface Bounds {
  readonly maxMessages: number;
  readonly overflow: "block" | "reject" | "drop-oldest";
  readonly blockTimeoutMs?: number;
}

/** What a case asks of a new broker. */
export interface CreateOptions {
  /** The broker's time, for cases that step it. Absent: the machine's. */
  readonly clock?: Clock;
  /** Only for harnesses with the trait `bounded`. */
  readonly bounds?: Bounds;
}

/** One broker as it is handed to the suite. */
export interface Harness {
  /** As it stands in reports: `memory`, `redis`, `failover(redis, file)`. */
  readonly name: string;
  /** Makes a broker that is not open yet. Every case gets its own. */
  create(options: CreateOptions): Broker | Promise<Broker>;
  /** Makes the runtime above the broker. */
  createService(options: ServicePortOptions): ServicePort;
  /** Makes the record behind exactly-once, with a horizon of its own. Gives the trait `inbox`. */
  createInbox?(options: {
    readonly clock: Clock;
    readonly horizonMs: number;
    readonly maxIds: number;
  }): Inbox;
  /** Stops the technology the hard way and starts it again. */
  restart?(): Promise<void>;
  /** A fresh clock for one case, if the broker takes one. */
  clock?(): FakeClock;
  /** Traits that cannot be read from the broker. */
  readonly traits?: readonly Trait[];
  /** How long an id is recognised when published again. Gives the trait `dedupeWindow`. */
  readonly dedupeWindowMs?: number;
  /** Share of the reference's message counts: 1 is all of them. Default 1. */
  readonly scale?: number;
  /** How long a case waits for something that must come, where time is not stepped. Default 10,000. */
  readonly patienceMs?: number;
  /** Repeats the random choices of a run. Default: the time. */
  readonly seed?: number;
}
