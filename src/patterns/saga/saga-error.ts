import { HeraldError } from "../../core/errors.ts";
import type { KeptError, SagaState } from "./model.ts";

/** A compensation that did not succeed. */
export interface CompensationError extends KeptError {
  readonly step: string;
}

/**
 * A saga came to nothing: a step failed for good and the steps before it were undone, in reverse order. Code `SAGA_FAILED`. Where
 * a compensation failed too, the saga is `failed` and can be retried.
 */
export class SagaError extends HeraldError {
  readonly sagaId: string;
  /** The step that failed; undefined for a saga that somebody asked to be undone. */
  readonly failedStep: string | undefined;
  /** Steps that were undone, in the order in which that was done. */
  readonly compensated: readonly string[];
  /** Steps that could not be undone, and why. */
  readonly compensationErrors: readonly CompensationError[];

  constructor(name: string, state: SagaState<unknown>, order: readonly string[]) {
    const { id, failedStep, error } = state;
    const undone = order.toReversed();
    const compensated = undone.filter((step) => state.steps[step]?.status === "compensated");
    const open = undone.filter((step) => state.steps[step]?.status === "uncompensated");
    const why = failedStep === undefined ? "was undone" : `failed in step '${failedStep}'`;
    const rest =
      open.length === 0
        ? "what came before it was undone"
        : `${open.join(", ")} could not be undone: retry it, or skip it with a reason`;
    super("SAGA_FAILED", `Saga '${name}' ${id} ${why} (${error?.message ?? "no reason"}); ${rest}.`, {
      details: { sagaId: id, failedStep, compensated, uncompensated: open, cause: error?.code },
    });
    this.name = "SagaError";
    this.sagaId = id;
    this.failedStep = failedStep;
    this.compensated = compensated;
    this.compensationErrors = open.map((step) => ({ step, ...(state.steps[step]?.error as KeptError) }));
  }
}

/** A saga waits for a person. */
export function stuckError(name: string, { id, failedStep, steps }: SagaState<unknown>): HeraldError {
  const said = steps[failedStep ?? ""]?.error?.message ?? "it failed";
  const message = `Saga '${name}' ${id} is stuck in step '${failedStep}' (${said}): retry it, skip the step with a reason, or compensate.`;
  return new HeraldError("SAGA_STUCK", message, { details: { sagaId: id, failedStep } });
}

/** Another process runs the saga now: nothing that this one still comes to is kept. */
export function takenOver(name: string, id: string): HeraldError {
  const message = `Saga '${name}' ${id} was taken over by another process: it goes on there. Ask for its state, or give it a longer lease.`;
  return new HeraldError("CONFLICT", message, { retryable: false, details: { sagaId: id } });
}
