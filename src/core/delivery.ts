import type { Envelope } from "./envelope.ts";

/** One failed attempt, as it is kept with the message. */
export interface Failure {
  readonly attempt: number;
  /** Error code. */
  readonly code: string;
  readonly message: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** One handing-out of an envelope. */
export interface Delivery {
  readonly envelope: Envelope;
  /** 1 for the first. */
  readonly attempt: number;
  /** Opaque place in the channel; usable as `from` on the same broker. */
  readonly position: string;
  /** Settle or extend within this many milliseconds; null: no limit. */
  readonly leaseMs: number | null;
  /** What earlier nacks said of this envelope, oldest first, where the broker keeps it. */
  readonly failures: readonly Failure[];
  /** The broker's own handle; nobody else looks. */
  readonly receipt: unknown;
}

/** Tells the broker the outcome of one delivery. */
export type Settlement =
  | { readonly kind: "ack"; readonly delivery: Delivery }
  /** Failed: give it back after `delayMs`, counted. */
  | {
      readonly kind: "nack";
      readonly delivery: Delivery;
      readonly delayMs: number;
      readonly failure?: Failure | undefined;
    }
  /** Not tried: give it back after `delayMs`, uncounted where the broker can. */
  | { readonly kind: "release"; readonly delivery: Delivery; readonly delayMs: number }
  /** Still working: the lease runs `leaseMs` from now. */
  | { readonly kind: "extend"; readonly delivery: Delivery; readonly leaseMs: number };
