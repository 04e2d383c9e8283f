/** What a history is held to. Every field has a default. */
export interface CheckOptions {
  /** Default `at-least-once`. */
  readonly guarantee?: "at-most-once" | "at-least-once" | "exactly-once";
  /**
   * Order per channel, key and priority, for publishes that did not overlap in time. `relaxed`: of first starts.
   * `strict`: of first effects too. Default `none`.
   */
  readonly order?: "none" | "relaxed" | "strict";
  /** Messages without a key count as one key of their channel. Default false. */
  readonly keyless?: boolean;
  /** `explained` (default): a second start needs a nack, a release or a dead holder before it. `free`: it may just come. */
  readonly redelivery?: "explained" | "free";
  /** `exact` (default): attempts grow by one. `growing`: they may skip. `unknown`: they are not looked at. */
  readonly attempts?: "exact" | "growing" | "unknown";
  /**
   * True: a holder may lose its lease without knowing it, and start what another has taken over. Such a start, told by an
   * attempt that is not above the last, is neither a delivery more nor a wrong attempt. Default false.
   */
  readonly zombies?: boolean;
  /**
   * `final` (default): what was acknowledged is not started again, and what was given back not before its delay. `late`: a
   * settlement may come too late, or never, and be ignored, of which its holder hears nothing: what must not happen again is
   * the effect alone.
   */
  readonly settlements?: "final" | "late";
  /** Most starts of one message, and how many failures a dead letter needs. Default: not checked. */
  readonly maxAttempts?: number;
  /** True (default): the run was drained, so what is nowhere is lost. */
  readonly complete?: boolean;
  /** False: losses are allowed if the product reports exactly that many. Default true. */
  readonly durable?: boolean;
  /** Default 0.01: what sums of fractions of a millisecond lose. */
  readonly earlyToleranceMs?: number;
  /** Default 50. */
  readonly expiryToleranceMs?: number;
  /** A publish must be settled within this. Default: by the end of the history. */
  readonly publishTimeoutMs?: number;
  /** The first effect after healing must come within this. Default: not checked. */
  readonly healWithinMs?: number;
  /** Fewer acknowledged messages are vacuous. Default 1000. */
  readonly minAcked?: number;
  /** Fewer injected faults are vacuous. Default 0. */
  readonly minFaults?: number;
}

/** Options with every default filled in. */
export type CheckSettings = Required<CheckOptions>;

/** Fills in the defaults. */
export function checkSettings(options: CheckOptions): CheckSettings {
  return {
    guarantee: "at-least-once",
    order: "none",
    keyless: false,
    redelivery: "explained",
    attempts: "exact",
    zombies: false,
    settlements: "final",
    maxAttempts: Infinity,
    complete: true,
    durable: true,
    earlyToleranceMs: 0.01,
    expiryToleranceMs: 50,
    publishTimeoutMs: Infinity,
    healWithinMs: Infinity,
    minAcked: 1000,
    minFaults: 0,
    ...options,
  };
}
