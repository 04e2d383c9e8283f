import { HANDLED, type Outcome } from "../core/outcome.ts";
import type { DeliveryContext } from "./context.ts";
import { addressed, decode, expire, filter, handle, outcomeOfThrow, validate, type Handling, type Stage } from "./stages.ts";

/** A message's life between receive and settle, in this order and nowhere else. The first stage with an outcome ends it. */
const STAGES: readonly Stage[] = [addressed, expire, decode, filter, validate, handle];

/** Runs one delivery through the stages. A promise only where a stage needs one; it never rejects. */
export function runPipeline(run: DeliveryContext, handling: Handling): Outcome | Promise<Outcome> {
  return proceed(run, handling, 0);
}

function proceed(run: DeliveryContext, handling: Handling, from: number): Outcome | Promise<Outcome> {
  try {
    for (let i = from; i < STAGES.length; i++) {
      const result = (STAGES[i] as Stage)(run, handling);
      if (result instanceof Promise) {
        return result.then((outcome) => outcome ?? proceed(run, handling, i + 1), outcomeOfThrow);
      }
      if (result !== undefined) return result;
    }
  } catch (error) {
    return outcomeOfThrow(error);
  }
  return HANDLED;
}
