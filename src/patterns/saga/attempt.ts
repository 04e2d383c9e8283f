import type { Clock } from "../../core/clock.ts";
import { HeraldError, isHeraldError, toHeraldError } from "../../core/errors.ts";
import type { KeptError, StepContext, StepFunction } from "./model.ts";

const MAX_MESSAGE = 2000;

/** One attempt at a step. */
export interface Attempt<D> {
  readonly run: StepFunction<D>;
  readonly data: D;
  readonly context: Omit<StepContext, "signal">;
  readonly timeoutMs: number | undefined;
  readonly clock: Clock;
  /** The saga is another's. */
  readonly lost: AbortSignal;
}

/** Runs a function of a step; rejects when it throws, when its time is over, and when the saga is another's. */
export function attempt<D>({ run, data, context, timeoutMs, clock, lost }: Attempt<D>): Promise<unknown> {
  const ending = new AbortController();
  return new Promise((resolve, reject) => {
    const giveUp = (error: HeraldError): void => {
      ending.abort(error);
      reject(error);
    };
    const onLost = (): void => giveUp(new HeraldError("CANCELLED", "The saga is another process's now."));
    const timer =
      timeoutMs === undefined
        ? undefined
        : clock.setTimer(timeoutMs, () => giveUp(timedOut(context.step, timeoutMs)));
    lost.addEventListener("abort", onLost, { once: true });
    const started = Promise.resolve().then(() => run(data, { ...context, signal: ending.signal }));
    void started.then(resolve, reject).finally(() => {
      timer?.cancel();
      lost.removeEventListener("abort", onLost);
    });
  });
}

/** An error as it is kept, and whether trying again can help. */
export function keptError(thrown: unknown): { readonly error: KeptError; readonly isFinal: boolean } {
  const { code, message } = toHeraldError(thrown, "HANDLER_FAILED");
  return {
    error: { code, message: message.slice(0, MAX_MESSAGE) },
    isFinal: isHeraldError(thrown) && thrown.name === "RejectError",
  };
}

function timedOut(step: string, timeoutMs: number): HeraldError {
  const message = `Step '${step}' took longer than ${timeoutMs} ms; it may still have its effect. Raise timeoutMs, or make it heed its signal.`;
  return new HeraldError("HANDLER_TIMEOUT", message, { details: { step, timeoutMs } });
}
