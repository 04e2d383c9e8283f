import type { Broker, StartFrom, SubscriptionSpec } from "../../core/broker.ts";
import { isHeraldError, toHeraldError } from "../../core/errors.ts";
import type { Gathering, GatheringHost } from "../shared/gathering.ts";
import { Emulation, type EmulateOptions, type EmulationKind } from "./emulation.ts";
import { Roll } from "./roll.ts";

/** A subscription that also reads what comes into use while it stands. */
export interface Watcher extends Gathering {
  readonly spec: SubscriptionSpec;
  /** Set once it is watched for what is to come. */
  stopWatching: () => void;
}

/** A wrapper whose subscriptions are several below, one for each name in use that the roll knows. */
export abstract class RollEmulation<S extends Watcher> extends Emulation {
  protected readonly roll: Roll;
  protected readonly subscriptions = new Set<S>();
  /** What its subscriptions are given. */
  protected readonly watcherHost: GatheringHost;

  constructor(inner: Broker, kind: EmulationKind, options: EmulateOptions) {
    super(inner, kind, options);
    this.roll = new Roll({
      broker: inner,
      channel: `${this.prefix}roll`,
      timers: this.timers,
      canTell: () => this.below.broadcast,
      onName: (name) => this.came(name),
      onLook: () => this.look(),
      fault: (error, where) => this.fault(error, where),
    });
    this.watcherHost = {
      ...this.host,
      left: (gathering) => {
        this.gatherings.delete(gathering);
        this.subscriptions.delete(gathering as S);
        (gathering as S).stopWatching();
      },
    };
  }

  /** Reads everything of a name that came into use, from `from` on; at once where it does already. */
  protected abstract attach(subscription: S, name: string, from: StartFrom): Promise<void>;

  /** Looks for names that came into use past this wrapper. */
  protected look(): Promise<void> {
    return Promise.resolve();
  }

  protected get canReplay(): boolean {
    return this.below.replayByPosition || this.below.replayByTime;
  }

  protected begin(): Promise<void> {
    return this.roll.open();
  }

  protected end(): Promise<void> {
    return this.roll.close();
  }

  /** Enters a subscription in the roll, lets it read what is in use, and watches for more. */
  protected async join(subscription: S, attachAll: () => Promise<unknown>): Promise<S> {
    this.subscriptions.add(subscription);
    this.gatherings.add(subscription);
    try {
      const { pattern, group, ordering = "relaxed" } = subscription.spec;
      if (group === null) await this.roll.refresh();
      else await this.roll.read({ pattern, group, ordering });
      await attachAll();
    } catch (error) {
      await subscription.close();
      throw error;
    }
    this.checkOpen();
    subscription.stopWatching = this.roll.watch();
    return subscription;
  }

  /** A name that was not in use when somebody subscribed: everything of it is new to them. */
  protected async attachNew(subscription: S, name: string): Promise<void> {
    try {
      await this.attach(subscription, name, this.canReplay ? "earliest" : "new");
    } catch (error) {
      // The group reads it already, in another order: it has its place, and publishers go on.
      if (!isHeraldError(error) || error.code !== "CONFLICT") throw error;
      this.fault(error, this.kind);
    }
  }

  /** A name is in use. */
  protected came(name: string): void {
    for (const subscription of this.subscriptions)
      this.attachNew(subscription, name).catch((error: unknown) =>
        this.fault(toHeraldError(error), this.kind),
      );
  }
}
