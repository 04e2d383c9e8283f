/** A timer that was set; cancelling it twice is no error. */
export interface TimerHandle {
  cancel(): void;
}

/** Time, handed in everywhere so that tests can step it. */
export interface Clock {
  /** Wall time, epoch milliseconds, with fractions. For stamps and expiry; it may jump. */
  now(): number;
  /** Milliseconds since some fixed moment; never goes back. For delays, leases and backoff. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`. The timer does not keep the process alive. */
  setTimer(delayMs: number, task: () => void): TimerHandle;
}

const RESYNC_MS = 1000;
const TOLERANCE_MS = 2;
/** A machine on which two readings never lie close together, or a clock that somebody steps, ends the search. */
const MAX_TRIES = 100;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's clocks. Wall time has the resolution of the monotonic clock and follows the system's clock within a second. */
export class SystemClock implements Clock {
  #offset = firstOffset();
  #syncedAt = performance.now();

  now(): number {
    const monotonic = performance.now();
    if (monotonic - this.#syncedAt > RESYNC_MS) this.#resync(monotonic);
    return monotonic + this.#offset;
  }

  monotonic(): number {
    return performance.now();
  }

  setTimer(delayMs: number, task: () => void): TimerHandle {
    const timer = setTimeout(task, Math.min(Math.max(0, Math.ceil(delayMs)), MAX_TIMER_MS));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  #resync(monotonic: number): void {
    this.#syncedAt = monotonic;
    const offset = offsetAt(monotonic);
    // Date.now() has whole milliseconds only: follow real jumps, not its rounding.
    if (offset !== undefined && Math.abs(offset - this.#offset) > TOLERANCE_MS) this.#offset = offset;
  }
}

function firstOffset(): number {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const offset = offsetAt(performance.now());
    if (offset !== undefined) return offset;
  }
  return Date.now() - performance.now();
}

/** What wall time is ahead of the monotonic clock, read just now; undefined where this process lost the processor between the two. */
function offsetAt(monotonic: number): number | undefined {
  const offset = Date.now() - monotonic;
  return performance.now() - monotonic > TOLERANCE_MS ? undefined : offset;
}

/** The clock used when none is handed in. */
export const systemClock: Clock = new SystemClock();

let second = -1;
let prefix = "";

/** Epoch milliseconds as ISO 8601 UTC with milliseconds. Keeps the last second's text, so that a stream of stamps is cheap. */
export function isoTime(epochMs: number): string {
  const ms = Math.floor(epochMs);
  const whole = Math.floor(ms / 1000);
  if (whole !== second) {
    prefix = new Date(whole * 1000).toISOString().slice(0, -4);
    second = whole;
  }
  const rest = ms - whole * 1000;
  return `${prefix}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}
