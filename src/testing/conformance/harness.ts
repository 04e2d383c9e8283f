import type { Ability, Broker } from "../../core/broker.ts";
import type { Clock } from "../../core/clock.ts";
import type { Inbox } from "../../core/store.ts";
import type { FakeClock } from "../fake-clock.ts";
import type { ServicePort, ServicePortOptions } from "../service-port.ts";

/**
 * What a case may need beside the abilities of `Capabilities`. `persist`: an acknowledged publish survives the process.
 * `xproc`: several processes share one broker. `server`: the harness can hurt the technology. `keyOrder`: order per
 * key. `replay`: by position or time. `admin`: channels can be looked after. `dropGroup`: and groups forgotten. `bounded`: the harness can make a broker
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
  "dropGroup",
  "bounded",
  "stepped",
  "dedupeWindow",
  "inbox",
  "operator",
  "disk",
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
  /**
   * Names the storage: brokers of one place share it, also one after the other and across processes, and no two cases
   * share a place. `[a-z0-9-]+`, at most 60 characters. A broker without storage ignores it.
   */
  readonly place: string;
  /** The broker's time, for cases that step it. Absent: the machine's. */
  readonly clock?: Clock;
  /** The case is busy and waits for no lease: leases, sessions and locks are so long that no slow machine ends one. */
  readonly longLeases?: boolean;
  /** Only for harnesses with the trait `bounded`. */
  readonly bounds?: Bounds;
  /** Reach the server here, and not at its own address: something stands in between. Only where there is a `server`. */
  readonly address?: Address;
}

/** Where something listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * What the module behind {@link Harness.child} exports. It is imported in another process, with the query of its URL: what
 * it must know of this one (a port, a folder) stands there.
 */
export interface ChildModule {
  /** The harness' `create`, by place. */
  readonly createBroker: (
    place: string,
    options?: { readonly address?: Address },
  ) => Broker | Promise<Broker>;
  /** The harness' `createService`. */
  readonly createService: (options: ServicePortOptions) => ServicePort;
}

/** A server that a case may hurt. Every call resolves when it is done; nobody else uses the server meanwhile. */
export interface ServerControl {
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same data and address; resolves when it answers. */
  start(): Promise<void>;
  /** SIGSTOP. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
  /** Where it listens. */
  readonly address: Address;
  /**
   * Where something that stands in between must stand, for a technology whose clients go where the server sends them: it
   * listens on `address`, where the server sends those who came through it, and reaches the server at `target`. Absent:
   * anywhere, and it reaches the server at its own address.
   */
  readonly proxied?: { readonly address: Address; readonly target: Address };
}

/** What a person with the technology's own tools can do to the storage of a place. */
export interface OperatorControl {
  /** Consumers that are registered in a group of a channel. */
  consumers(place: string, channel: string, group: string): Promise<number>;
  /** Deletes a group; its channel stays. */
  dropGroup(place: string, channel: string, group: string): Promise<void>;
  /** Deletes a channel with everything it holds, and what is known of it. */
  dropChannel(place: string, channel: string): Promise<void>;
  /** Deletes the oldest messages of a channel, read or not, so that so many are left. */
  trim(place: string, channel: string, keep: number): Promise<void>;
}

/** The disk that the storage of the harness lies on. */
export interface DiskControl {
  /** Takes all room that is left. */
  fill(): Promise<void>;
  /** Gives it back. */
  free(): Promise<void>;
}

/** How a failover broker of the suite stands to the others. */
export type FailoverKind =
  /** As the harness makes it. */
  | "plain"
  /** With a journal. */
  | "journal"
  /** On another machine: the same primary, a fallback of its own. */
  | "neighbour"
  /** It cannot reach the primary. */
  | "cutOff";

/** What an operator's hand on the switch can do. */
export interface SwitchControl {
  readonly mode: string;
  counts(): Promise<{ readonly undrained: number }>;
  switchTo(mode: "distributed" | "degraded" | "isolated"): Promise<void>;
}

/** The primary of a failover broker, for cases that hurt it. */
export interface PrimaryControl {
  /** SIGKILL, or what comes nearest to it. */
  kill(): Promise<void>;
  /** Starts it again on the same data. */
  start(): Promise<void>;
  /** SIGSTOP. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
  /** It is up, and all it held is gone. */
  empty(): Promise<void>;
  /** Copies what it holds; the result brings that back while it is killed, and nothing else. */
  copy(): Promise<() => Promise<void>>;
  /** A broker of this place that is not open yet, with the switch of it. */
  broker(
    kind: FailoverKind,
    options: CreateOptions,
  ): { readonly broker: Broker; readonly control: SwitchControl };
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
  /** A {@link ChildModule} that other processes import to make the same broker. Gives the trait `xproc`. */
  readonly child?: URL;
  /** The technology, for cases that hurt it. Gives the trait `server`. */
  readonly server?: ServerControl;
  /** The technology's own tools. Gives the trait `operator`. */
  readonly operator?: OperatorControl;
  /** The disk of the storage. Gives the trait `disk`. */
  readonly disk?: DiskControl;
  /** The primary of a failover broker. Gives the trait `failover`. */
  readonly primary?: PrimaryControl;
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
