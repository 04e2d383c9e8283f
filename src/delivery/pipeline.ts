import type { Outcome } from "../core/outcome.ts";
import type { DeliveryContext } from "./context.ts";
import {
  addressed,
  budget,
  checkNotCut,
  conclude,
  decode,
  expire,
  filter,
  handle,
  outcomeOfThrow,
  stopped,
  validate,
  type Handling,
  type Stage,
} from "./stages.ts";

/** A message's life between receive and the handler, in this order and nowhere else. The first stage with an outcome ends it. */
const STAGES: readonly Stage[] = [addressed, expire, stopped, decode, filter, validate, budget];

/** Told of the outcome of a run that did not end at once. */
export type OnEnd = (run: DeliveryContext, outcome: Outcome) => void;

/**
 * Runs one delivery through the stages and the handler. Returns the outcome if there is one at once; else undefined, and
 * `onEnd` is called later, exactly once. It never throws: whatever is thrown inside is an outcome.
 */
export function runPipeline(run: DeliveryContext, handling: Handling, onEnd: OnEnd): Outcome | undefined {
  try {
    for (let i = 0; i < STAGES.length; i++) {
      const result = (STAGES[i] as Stage)(run, handling);
      if (result instanceof Promise) {
        void resume(run, handling, { result, next: i + 1 }).then((outcome) => onEnd(run, outcome));
        return undefined;
      }
      if (result !== undefined) return result;
    }
    const ending = handle(run, handling);
    if (ending === undefined) return conclude(run);
    // The way of nearly every message: one promise for the whole of the handler's run.
    void ending.then(
      () => onEnd(run, conclude(run)),
      (error: unknown) => onEnd(run, outcomeOfThrow(error)),
    );
    return undefined;
  } catch (error) {
    return outcomeOfThrow(error);
  }
}

/** The rest of the way once a stage had to wait. */
async function resume(
  run: DeliveryContext,
  handling: Handling,
  from: { readonly result: Promise<Outcome | undefined>; readonly next: number },
): Promise<Outcome> {
  try {
    let outcome = await from.result;
    for (const stage of STAGES.slice(from.next)) outcome ??= await stage(run, handling);
    return outcome ?? (await start(run, handling));
  } catch (error) {
    return outcomeOfThrow(error);
  }
}

async function start(run: DeliveryContext, handling: Handling): Promise<Outcome> {
  // Its time may have run out while it waited: its handler must not start then.
  checkNotCut(run);
  await handle(run, handling);
  return conclude(run);
}
