/** What a call to the outside is told of itself. */
export interface EffectCall {
  /**
   * A UUID, the same for every run of this call in every process. Hand it on, so that whoever is called recognises a second
   * run.
   */
  readonly idempotencyKey: string;
  /** 1 for the first run. Above 1: an earlier one began, and no result of it is known. */
  readonly attempt: number;
  /** Fires when the handler's time is up, the service stops, or another process has taken over. */
  readonly signal: AbortSignal;
}

/** Calls something outside; gives back what JSON has a word for. */
export type Effect<T> = (call: EffectCall) => T | Promise<T>;

/** The record of an agent's calls to the outside. */
export interface EffectLedger {
  /** See `HandlerContext.effect`. */
  run<T>(name: string, key: string, effect: Effect<T>, signal: AbortSignal): Promise<T>;
}
