import { setImmediate, setTimeout } from "node:timers/promises";
import type { Middleware } from "../core/middleware.ts";
import type { ConsumerLag } from "../service/stats.ts";

/** Handlers and activities that run now, counted so that a command can tell when the agents have settled. */
export class Activity {
  #running = 0;
  #turns = 0;

  get running(): number {
    return this.#running;
  }

  /** Grows with everything that begins or ends. */
  get turns(): number {
    return this.#turns;
  }

  /** Counts every handler that it is wrapped around; a message acknowledged before it is handled shows nowhere else. */
  readonly middleware: Middleware = (_message, _context, next) => this.track(next);

  /** Counts a piece of work while it runs. */
  async track<T>(work: () => T | Promise<T>): Promise<T> {
    this.#running++;
    this.#turns++;
    try {
      return await work();
    } finally {
      this.#running--;
      this.#turns++;
    }
  }
}

/** What deciding whether the agents have settled needs. */
export interface IdleOptions {
  readonly activity: Activity;
  /** Lag of every group. */
  readonly lag: () => Promise<readonly ConsumerLag[]>;
  readonly signal: AbortSignal;
  /** Undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** How waiting ended. */
export type IdleResult = "idle" | "timeout" | "interrupted";

const FIRST_LOOKS = 8;
const LOOK_MS = 10;

/**
 * Resolves once nothing waits and nothing runs. It must hold at two looks in a row with nothing begun between them: a
 * handler that has published and ended leaves a moment in which neither its message nor the next one is counted.
 */
export async function untilIdle({ activity, lag, signal, timeoutMs }: IdleOptions): Promise<IdleResult> {
  const endsAt = performance.now() + (timeoutMs ?? Infinity);
  let seen = -1;
  for (let look = 0; ; look++) {
    if (signal.aborted) return "interrupted";
    const quiet = activity.running === 0 && (await lag()).every((group) => (group.lag ?? 0) === 0);
    if (quiet && seen === activity.turns) return "idle";
    seen = quiet ? activity.turns : -1;
    if (performance.now() >= endsAt) return "timeout";
    await (look < FIRST_LOOKS ? setImmediate() : setTimeout(LOOK_MS));
  }
}
