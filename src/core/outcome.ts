import type { HeraldError } from "./errors.ts";

/** What handling one delivery came to. `settle.ts` alone turns it into a settlement. */
export type Outcome =
  /** Handled. */
  | { readonly kind: "handled" }
  /** Not for this handler, or done before: acknowledged without running it. */
  | { readonly kind: "skipped"; readonly reason: "filtered" | "duplicate" | "addressed" }
  /** Past its time: never started. */
  | { readonly kind: "expired" }
  /** Failed; the retry policy decides. */
  | { readonly kind: "failed"; readonly error: HeraldError }
  /** Failed for good: dead letter now. */
  | { readonly kind: "rejected"; readonly error: HeraldError }
  /** Again later, not counted. */
  | {
      readonly kind: "snoozed";
      readonly delayMs: number;
      /** It failed all the same, and a circuit breaker says that this is not the message's fault. */
      readonly error?: HeraldError;
    }
  /** The handler spoke through its context: give it back, counted, after a delay of its own. */
  | { readonly kind: "nacked"; readonly delayMs: number; readonly error: HeraldError };

/** Handled; shared, because most deliveries end so. */
export const HANDLED: Outcome = { kind: "handled" };
