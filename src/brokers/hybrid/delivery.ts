import type { PublishResult } from "../../core/broker.ts";
import type { Delivery, Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import type { Member } from "./member.ts";

type Stored = Extract<PublishResult, { readonly ok: true }>;

/** A delivery of a member; its place is one of the whole, made when somebody asks. */
export class MemberDelivery implements Delivery {
  readonly member: Member;
  /** The delivery of the member. */
  readonly receipt: Delivery;

  constructor(member: Member, receipt: Delivery) {
    this.member = member;
    this.receipt = receipt;
  }

  get envelope(): Envelope {
    return this.receipt.envelope;
  }

  get attempt(): number {
    return this.receipt.attempt;
  }

  get position(): string {
    return this.member.outward(this.receipt.position);
  }

  get leaseMs(): number | null {
    return this.receipt.leaseMs;
  }

  get failures(): readonly Failure[] {
    return this.receipt.failures;
  }
}

/** What a member stored; its place is one of the whole, made when somebody asks. */
export class MemberResult implements Stored {
  readonly ok = true;
  readonly #member: Member;
  readonly #stored: Stored;

  constructor(member: Member, stored: Stored) {
    this.#member = member;
    this.#stored = stored;
  }

  get position(): string | null {
    const { position } = this.#stored;
    return position === null ? null : this.#member.outward(position);
  }

  get deduplicated(): boolean {
    return this.#stored.deduplicated;
  }

  get matched(): number | null {
    return this.#stored.matched;
  }
}
