import type { Delivery, Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";

/** What a delivery says in another way than the broker below says it. */
export interface Changes {
  readonly envelope?: Envelope;
  readonly position?: string;
  readonly attempt?: number;
  readonly failures?: readonly Failure[];
}

/** A delivery of a broker below, as it is handed on: what is changed, and the rest as it came. */
export class HandedOn implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly position: string;
  readonly leaseMs: number | null;
  readonly failures: readonly Failure[];
  /** The delivery of the broker below. */
  readonly receipt: Delivery;

  constructor(inner: Delivery, changes: Changes) {
    this.envelope = changes.envelope ?? inner.envelope;
    this.attempt = changes.attempt ?? inner.attempt;
    this.position = changes.position ?? inner.position;
    this.leaseMs = inner.leaseMs;
    this.failures = changes.failures ?? inner.failures;
    this.receipt = inner;
  }
}
