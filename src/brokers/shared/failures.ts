import type { Failure } from "../../core/delivery.ts";
import { MAX_FAILURES } from "../../core/limits.ts";

/** No failures; shared, because most messages never fail. */
export const NO_FAILURES: readonly Failure[] = Object.freeze([]);

/** The failures of a message with one more: the first and the latest are kept. */
export function withFailure(failures: readonly Failure[], failure: Failure | undefined): readonly Failure[] {
  if (failure === undefined) return failures;
  if (failures.length < MAX_FAILURES) return [...failures, failure];
  return [...failures.slice(0, 1), ...failures.slice(2), failure];
}
