import { HeraldError, toHeraldError } from "../../core/errors.ts";

/** The ids of a batch. Throws unless all of it was enqueued: the first error's code, and in `details` what became of each task. */
export function idsOf(outcomes: readonly PromiseSettledResult<string>[]): readonly string[] {
  const ids = outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : null));
  const errors = outcomes.flatMap((outcome, index) =>
    outcome.status === "rejected" ? [{ index, error: toHeraldError(outcome.reason) }] : [],
  );
  const [first] = errors;
  if (first === undefined) return ids as readonly string[];
  const { code, retryable, message } = first.error;
  const text = `${errors.length} of ${ids.length} tasks were not enqueued (details.failed names them; enqueue those again): ${message}`;
  const failed = errors.map(({ index, error }) => ({ index, code: error.code, message: error.message }));
  throw new HeraldError(code, text, { cause: first.error, retryable, details: { ids, failed } });
}
