import type { Subscription } from "../../core/broker.ts";
import { SubscriptionWrapper } from "../../core/broker-wrapper.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { FairGathering } from "../shared/fair-gathering.ts";
import type { GatheringHost, GatheringOptions, Sifted } from "../shared/gathering.ts";
import { Source } from "../shared/source.ts";
import { MemberDelivery } from "./delivery.ts";
import type { Member } from "./member.ts";

/** A subscription of one member, as part of the whole: nothing but its places is different. */
export class MemberSubscription extends SubscriptionWrapper {
  readonly #member: Member;

  constructor(member: Member, inner: Subscription) {
    super(inner);
    this.#member = member;
  }

  override async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const deliveries = await this.inner.receive(limit, waitMs);
    return deliveries.map((delivery) => new MemberDelivery(this.#member, delivery));
  }

  override settle(settlements: readonly Settlement[]): Promise<void> {
    return this.inner.settle(
      settlements.flatMap((settlement) => {
        const { delivery } = settlement;
        return delivery instanceof MemberDelivery ? [{ ...settlement, delivery: delivery.receipt }] : [];
      }),
    );
  }
}

class MemberSource extends Source {
  readonly member: Member;

  constructor(member: Member, subscription: Subscription) {
    super(subscription);
    this.member = member;
  }
}

/** Subscriptions of several members as one: fair, within one prefetch. */
export class SpanningSubscription extends FairGathering {
  constructor(
    parts: readonly { readonly member: Member; readonly subscription: Subscription }[],
    options: GatheringOptions,
    host: GatheringHost,
  ) {
    super(options, host);
    for (const { member, subscription } of parts) this.sources.add(new MemberSource(member, subscription));
  }

  protected override sift(source: Source, delivery: Delivery): Sifted {
    return new MemberDelivery((source as MemberSource).member, delivery);
  }
}
