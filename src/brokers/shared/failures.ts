import type { Failure } from "../../core/delivery.ts";

/** The first failure and the latest are kept; a message that may fail for ever must not grow for ever. */
const MAX_FAILURES = 20;

/** No failures; shared, because most messages never fail. */
export const NO_FAILURES: readonly Failure[] = Object.freeze([]);

/** The failures of a message with one more. */
export function withFailure(failures: readonly Failure[], failure: Failure | undefined): readonly Failure[] {
  if (failure === undefined) return failures;
  if (failures.length < MAX_FAILURES) return [...failures, failure];
  return [...failures.slice(0, 1), ...failures.slice(2), failure];
}
