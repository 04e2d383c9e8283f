import { HeraldError, showValue } from "../core/errors.ts";

/** How the wait grows from attempt to attempt. */
export type BackoffStrategy = "exponential" | "linear" | "constant";

/** How often and how soon a failed message is tried again. All optional. */
export interface RetryOptions {
  /** Deliveries including the first: 3 means the handler runs at most three times. 0 and 1 mean no retry. Default 3. */
  readonly maxAttempts?: number;
  readonly backoff?: {
    /** Default `exponential`. */
    readonly strategy?: BackoffStrategy;
    /** Wait before the second attempt. Default 1000. */
    readonly initialDelayMs?: number;
    /** Default 30,000. */
    readonly maxDelayMs?: number;
    /** Growth of the exponential strategy. Default 2. */
    readonly multiplier?: number;
    /** Spread around the wait: `true` is 0.2, a fraction of it up or down. Default 0. */
    readonly jitter?: boolean | number;
  };
}

/** A retry policy: pure, one for all messages of a subscription. */
export interface RetryPolicy {
  readonly maxAttempts: number;
  /** Milliseconds to wait after attempt `attempt` (1 first) failed; undefined: no more attempts, of `allowed`. */
  delayAfter(attempt: number, allowed?: number): number | undefined;
}

/** Header with a publisher's word on how often its message may be handed out. */
export const MAX_ATTEMPTS_HEADER = "x-max-attempts";
/** Most that a publisher may ask for. */
export const MOST_ATTEMPTS = 1000;

/**
 * How often a message may be handed out: what its publisher said, else what the subscription says. One that tries nothing
 * again, or counts no attempts, is not overruled; a header that is no number of attempts says nothing.
 */
export function attemptsFor(
  { headers }: { readonly headers: Readonly<Record<string, string>> },
  maxAttempts: number,
): number {
  const said = headers[MAX_ATTEMPTS_HEADER];
  if (said === undefined || maxAttempts === 1 || maxAttempts === Infinity) return maxAttempts;
  return /^[1-9]\d{0,3}$/.test(said) ? Math.min(MOST_ATTEMPTS, Number(said)) : maxAttempts;
}

/** A policy from its options: 1 s, 2 s, 4 s, … up to 30 s unless said otherwise. Rejects with `INVALID_ARGUMENT` naming the field. */
export function retryPolicy(options: RetryOptions = {}, random: () => number = Math.random): RetryPolicy {
  const {
    strategy = "exponential",
    initialDelayMs = 1000,
    maxDelayMs = 30_000,
    multiplier = 2,
    jitter = 0,
  } = options.backoff ?? {};
  const given = options.maxAttempts ?? 3;
  const spread = typeof jitter === "number" ? jitter : jitter ? 0.2 : 0;
  checkNumber("retry.maxAttempts", given, Number.isInteger(given) && given >= 0);
  const maxAttempts = Math.max(1, given);
  checkNumber("retry.backoff.initialDelayMs", initialDelayMs, initialDelayMs >= 0);
  checkNumber("retry.backoff.maxDelayMs", maxDelayMs, maxDelayMs >= 0);
  checkNumber("retry.backoff.multiplier", multiplier, multiplier >= 1);
  checkNumber("retry.backoff.jitter", spread, spread >= 0 && spread <= 1);
  const grow = Object.hasOwn(GROWTH, strategy) ? GROWTH[strategy] : undefined;
  if (grow === undefined)
    throw wrong("retry.backoff.strategy", `exponential, linear or constant, not ${showValue(strategy)}`);
  return {
    maxAttempts,
    delayAfter(attempt, allowed = maxAttempts) {
      if (attempt >= allowed) return undefined;
      const delayMs = Math.min(maxDelayMs, grow(initialDelayMs, attempt, multiplier));
      return spread === 0 ? delayMs : delayMs * (1 - spread + 2 * spread * random());
    },
  };
}

const GROWTH: Readonly<Record<string, (initialMs: number, attempt: number, multiplier: number) => number>> = {
  exponential: (initialMs, attempt, multiplier) => initialMs * multiplier ** (attempt - 1),
  linear: (initialMs, attempt) => initialMs * attempt,
  constant: (initialMs) => initialMs,
};

function checkNumber(field: string, value: number, holds: boolean): void {
  if (typeof value === "number" && holds) return;
  throw wrong(field, `a sensible number, not ${showValue(value)}`);
}

function wrong(field: string, expected: string): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}.`, { details: { field } });
}
