import { describeThrown, isHeraldError } from "../core/errors.ts";
import { failureOf } from "./failure.ts";

/** One line of what `herald doctor` found. */
export interface Check {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do where it does not hold. */
  readonly hint?: string;
  /** Figures for programs beside the sentence. */
  readonly figures?: Readonly<Record<string, unknown>>;
}

/** A check that ended with an error; `otherwise` is what to do about one that is not Herald's. */
export function failedCheck(check: string, error: unknown, otherwise: string): Check {
  const hint = isHeraldError(error) ? failureOf(error).hint : otherwise;
  return { check, ok: false, detail: describeThrown(error), hint };
}
