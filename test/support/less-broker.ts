import type {
  Ability,
  Broker,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../src/core/broker.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../../src/core/broker-wrapper.ts";
import type { Settlement } from "../../src/core/delivery.ts";
import type { Envelope } from "../../src/core/envelope.ts";
import { HeraldError } from "../../src/core/errors.ts";
import { isWildcard } from "../../src/core/pattern.ts";
import { DEFAULT_PRIORITY } from "../../src/core/priority.ts";

/** A broker with abilities taken away: it claims less, and asking for one of them is refused as the contract says. */
export class LessBroker extends BrokerWrapper {
  readonly #off: ReadonlySet<Ability>;

  constructor(inner: Broker, off: readonly Ability[]) {
    super(inner);
    this.#off = new Set(off);
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    const off = Object.fromEntries([...this.#off].map((ability) => [ability, false]));
    return { ...capabilities, ...off };
  }

  override publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    if (options?.dedupe === true) this.#refuse("dedupe");
    const wanted = envelopes.map((envelope) => this.#wanted(envelope));
    const passing = envelopes.filter((_envelope, at) => wanted[at] === undefined);
    return this.inner.publish(passing, options).then((stored) => {
      const results = stored.values();
      return wanted.map(
        (error) =>
          (error === undefined ? results.next().value : undefined) ?? {
            ok: false,
            error: error ?? unsupported("publish"),
          },
      );
    });
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    if (spec.group === null) this.#refuse("broadcast");
    else this.#refuse("groups");
    if (isWildcard(spec.pattern)) this.#refuse("wildcard");
    const { from = "new" } = spec;
    if (from === "earliest" || (typeof from === "object" && "position" in from))
      this.#refuse("replayByPosition");
    if (typeof from === "object" && "time" in from) this.#refuse("replayByTime");
    const isCounting = this.#off.has("exactAttempts");
    const refuseDelay = () => this.#refuse("nackDelay");
    return new LessSubscription(await this.inner.subscribe(spec), isCounting, refuseDelay);
  }

  override async inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    const report = await this.inner.inspect(query);
    if (!this.#off.has("lag")) return report;
    const channels = report.channels.map(({ groups, ...channel }) => ({
      ...channel,
      groups: groups.map((group) => ({ ...group, lag: null })),
    }));
    return { ...report, channels };
  }

  #refuse(ability: Ability): void {
    if (this.#off.has(ability)) throw unsupported(ability);
  }

  #wanted({ priority, deliverAt }: Envelope): HeraldError | undefined {
    if (priority !== DEFAULT_PRIORITY && this.#off.has("priority")) return unsupported("priority");
    return deliverAt !== undefined && this.#off.has("delay") ? unsupported("delay") : undefined;
  }
}

class LessSubscription extends SubscriptionWrapper {
  readonly #isCounting: boolean;
  readonly #refuseDelay: () => void;

  constructor(inner: Subscription, isCounting: boolean, refuseDelay: () => void) {
    super(inner);
    this.#isCounting = isCounting;
    this.#refuseDelay = refuseDelay;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    for (const settlement of settlements) {
      if ((settlement.kind === "nack" || settlement.kind === "release") && settlement.delayMs > 0)
        this.#refuseDelay();
    }
    const counted = settlements.map((settlement): Settlement => {
      if (settlement.kind !== "release" || !this.#isCounting) return settlement;
      return { kind: "nack", delivery: settlement.delivery, delayMs: settlement.delayMs };
    });
    await this.inner.settle(counted);
  }
}

function unsupported(what: string): HeraldError {
  return new HeraldError("UNSUPPORTED", `The plain broker cannot do '${what}': use one that can.`);
}
