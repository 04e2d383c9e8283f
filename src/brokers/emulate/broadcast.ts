import type {
  Broker,
  BrokerAdmin,
  BrokerReport,
  Capabilities,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { HeraldError, showValue, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { Emulation, type EmulateOptions } from "./emulation.ts";
import { HidingAdmin } from "./hiding-admin.ts";
import { PrivateGroups, type PrivateGroup } from "./private-groups.ts";

/** Options of {@link withBroadcast}; all optional. */
export interface BroadcastOptions extends EmulateOptions {
  /**
   * A process that has not been heard of for so long is gone: others remove the groups that it left behind. One that slept for
   * longer begins anew and says so with `herald:data-lost`. Default 3,600,000.
   */
  readonly orphanMs?: number;
}

const DEFAULT_ORPHAN_MS = 3_600_000;

/**
 * Gives a broker broadcast: every subscription without a group gets a group of its own, which is removed with it. Needs groups
 * and `admin.dropGroup` of the broker, else opening it rejects with `UNSUPPORTED`. Throws `INVALID_ARGUMENT`.
 */
export function withBroadcast(broker: Broker, options: BroadcastOptions = {}): Broker {
  const { orphanMs = DEFAULT_ORPHAN_MS } = options;
  if (!(orphanMs > 0)) {
    const message = `orphanMs must be a number above 0, not ${showValue(orphanMs)}.`;
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "orphanMs" } });
  }
  return new BroadcastBroker(broker, { ...options, orphanMs });
}

class BroadcastBroker extends Emulation {
  declare readonly admin?: BrokerAdmin;
  readonly #orphanMs: number;
  #groups: PrivateGroups | undefined;
  readonly #open = new Set<BroadcastSubscription>();

  constructor(inner: Broker, options: BroadcastOptions & { readonly orphanMs: number }) {
    super(inner, "broadcast", options);
    this.#orphanMs = options.orphanMs;
    if (inner.admin !== undefined)
      this.admin = new HidingAdmin(inner.admin, (channel) => this.isInternal(channel));
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const groups = this.#groups;
    if (groups === undefined || spec.group !== null) return this.inner.subscribe(spec);
    const subscription = new BroadcastSubscription({
      begin: () => this.#begin(groups, spec, () => subscription.renew()),
      drop: (group) => groups.drop(group),
      left: () => this.#open.delete(subscription),
      lost: () => this.#tellLost(spec.pattern),
      fault: (error) => this.fault(error, "broadcast"),
    });
    await subscription.start();
    this.#open.add(subscription);
    return subscription;
  }

  override async inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    const report = await super.inspect(query);
    const channels = report.channels.map(({ groups, ...rest }) => ({
      ...rest,
      groups: groups.filter(({ group }) => !group.startsWith(this.prefix)),
    }));
    return { ...report, channels };
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    return { ...capabilities, broadcast: true };
  }

  protected isLacking({ broadcast }: Capabilities): boolean {
    return !broadcast;
  }

  protected missing({ groups }: Capabilities): string[] {
    const missing = groups ? [] : ["groups"];
    if (this.inner.admin?.dropGroup === undefined) missing.push("admin.dropGroup");
    return missing;
  }

  protected begin(): Promise<void> {
    this.#groups = new PrivateGroups({
      broker: this.inner,
      timers: this.timers,
      prefix: this.prefix,
      orphanMs: this.#orphanMs,
      fault: (error, where) => this.fault(error, where),
    });
    return Promise.resolve();
  }

  protected async end(): Promise<void> {
    await Promise.allSettled([...this.#open].map((subscription) => subscription.close()));
    await this.#groups?.close();
  }

  async #begin(groups: PrivateGroups, spec: SubscriptionSpec, onLost: () => void): Promise<Begun> {
    const group = await groups.make(spec.pattern, onLost);
    try {
      return { group, subscription: await this.inner.subscribe({ ...spec, group: group.group }) };
    } catch (error) {
      await groups.drop(group).catch(() => {});
      throw error;
    }
  }

  #tellLost(channel: string): void {
    const message = `A broadcast subscription of '${channel}' was held for so long that others may have taken it for gone: what was published meanwhile may be missing.`;
    const error = new HeraldError("DATA_LOSS_DETECTED", message, { details: { channel } });
    emit("dataLost", () => ({ broker: this.name, channel, group: null, count: null, error }));
  }
}

/** A private group that is read. */
interface Begun {
  readonly group: PrivateGroup;
  readonly subscription: Subscription;
}

/** What a broadcast subscription needs of its broker. */
interface BroadcastHost {
  begin(): Promise<Begun>;
  drop(group: PrivateGroup): Promise<void>;
  left(): void;
  lost(): void;
  fault(error: HeraldError): void;
}

/** One listener, and the group that only it reads. */
class BroadcastSubscription implements Subscription {
  readonly #host: BroadcastHost;
  readonly #takenFrom = new WeakMap<Delivery, Subscription>();
  #begun: Begun | undefined;
  #isWaiting = false;
  #closing: Promise<void> | undefined;

  constructor(host: BroadcastHost) {
    this.#host = host;
  }

  async start(): Promise<void> {
    this.#begun = await this.#host.begin();
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#isWaiting) throw waitsAlready();
    const { subscription } = this.#begun as Begun;
    this.#isWaiting = true;
    try {
      const deliveries = await subscription.receive(limit, waitMs);
      for (const delivery of deliveries) this.#takenFrom.set(delivery, subscription);
      return deliveries;
    } finally {
      this.#isWaiting = false;
    }
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    const parts = Map.groupBy(settlements, ({ delivery }) => this.#takenFrom.get(delivery));
    for (const [subscription, part] of parts) await subscription?.settle(part);
  }

  async giveBackUnread(): Promise<void> {
    await this.#begun?.subscription.giveBackUnread?.();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The group may be gone: another takes its place. */
  renew(): void {
    const old = this.#begun;
    this.#host.begin().then(
      async (begun) => {
        this.#host.lost();
        this.#begun = begun;
        if (old !== undefined) await this.#leave(old);
        if (this.#closing !== undefined) await this.#leave(begun);
      },
      (error: unknown) => this.#host.fault(toHeraldError(error)),
    );
  }

  async #close(): Promise<void> {
    this.#host.left();
    if (this.#begun !== undefined) await this.#leave(this.#begun);
  }

  async #leave({ group, subscription }: Begun): Promise<void> {
    await subscription.close();
    await this.#host.drop(group).catch((error: unknown) => this.#host.fault(toHeraldError(error)));
  }
}
