import type { Clock } from "../core/clock.ts";

/** Resolves after a time, or when one of the signals fires. */
export function pause(
  clock: Clock,
  delayMs: number,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      timer.cancel();
      for (const signal of signals) signal?.removeEventListener("abort", over);
      resolve();
    };
    const timer = clock.setTimer(delayMs, over);
    for (const signal of signals) signal?.addEventListener("abort", over);
  });
}

/** Timers do not keep a process alive: it goes on until `work` has ended. Gives back `work`. */
export function keepAlive<T>(work: Promise<T>): Promise<T> {
  const held = setInterval(() => {}, 2 ** 30);
  const over = (): void => clearInterval(held);
  work.then(over, over);
  return work;
}
