import type { CaseContext } from "../context.ts";

/** A machine that needs longer than this many units for one step cannot run these cases. */
const MOST_UNITS = 128;

/**
 * Tries something about what comes before what. Where time must be waited for, a busy machine may need longer for one step than lies
 * between two times: such a try says nothing, and the next one gets a unit twice as long. `attempt` gets the unit, milliseconds, and
 * resolves to whether it was in time; only then it judges what it saw.
 */
export async function inTime(
  context: CaseContext,
  attempt: (unitMs: number) => Promise<boolean>,
): Promise<void> {
  for (let units = 1; units <= MOST_UNITS; units *= 2) if (await attempt(context.unitMs * units)) return;
  throw new Error(`What was not to wait did not come within ${MOST_UNITS * context.unitMs} ms.`);
}

/**
 * Asks for something to come after a delay, milliseconds, and waits until it has `come`. If it came early, that is in the history and
 * the checker says so; here it is made sure that it could have come early. Resolves to how late it came, milliseconds.
 */
export async function afterDelay(
  context: CaseContext,
  ask: (delayMs: number) => Promise<void>,
  come: () => Promise<unknown>,
): Promise<number> {
  const { clock } = context.time;
  let lateMs = 0;
  await inTime(context, async (unitMs) => {
    const from = clock.monotonic();
    await ask(unitMs * 2);
    const isAhead = clock.monotonic() - from < unitMs;
    await come();
    lateMs = clock.monotonic() - from - unitMs * 2;
    return isAhead;
  });
  return lateMs;
}
