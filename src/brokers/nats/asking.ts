import type { Later, Timers } from "../shared/timers.ts";

/** What is asked for: so many messages, and how long the server waits for the first. */
export interface Asked {
  readonly number: number;
  readonly batch: number;
  readonly expiresMs: number;
}

/** What asking needs of its reader. */
export interface AskingHost {
  readonly timers: Timers;
  /** Writes a request; false when that was not possible. */
  pull(asked: Asked): boolean;
  /** Ask again, if there is somebody to ask for. */
  again(): void;
}

const FIRST_EXPIRES_MS = 2000;
const MAX_EXPIRES_MS = 30_000;
/** A request that has not ended this long after its time is lost. */
const GRACE_MS = 1000;
/** A request that was refused is not sent again at once. */
const PAUSE_MS = 20;
const MAX_BATCH = 5000;

/**
 * The one request for messages that a reader has out. It ends by itself, with what there was or after its time, and one whose
 * end does not come is given up: whoever waits always has a request behind it.
 */
export class Asking {
  readonly #host: AskingHost;
  #out: { readonly number: number; left: number; brought: number; readonly lost: Later } | undefined;
  #count = 0;
  /** Longer while nothing comes: ten thousand that wait for nothing cost little. */
  #expiresMs = FIRST_EXPIRES_MS;
  #restsUntil = -Infinity;
  #isResting = false;

  constructor(host: AskingHost) {
    this.#host = host;
  }

  get isOut(): boolean {
    return this.#out !== undefined;
  }

  /** Which request is out, or comes next. */
  get number(): number {
    return this.#out?.number ?? this.#count;
  }

  /** Asks for so many, for at most so long; 0: for what there is now. */
  ask(batch: number, waitMs: number): void {
    if (this.#out !== undefined) return;
    const { timers } = this.#host;
    const restMs = this.#restsUntil - timers.monotonic();
    if (restMs > 0) {
      if (this.#isResting) return;
      this.#isResting = true;
      timers.after(restMs, () => {
        this.#isResting = false;
        this.#host.again();
      });
      return;
    }
    const expiresMs = waitMs > 0 ? Math.min(this.#expiresMs, Math.max(1, waitMs)) : 0;
    const number = this.#count++;
    const lost = timers.after(expiresMs + GRACE_MS, () => {
      if (this.#out?.number !== number) return;
      this.forget();
      this.#host.again();
    });
    const left = Math.min(batch, MAX_BATCH);
    this.#out = { number, left, brought: 0, lost };
    if (!this.#host.pull({ number, batch: left, expiresMs })) this.forget();
  }

  /** A message has come. */
  brought(): void {
    if (this.#out === undefined) return;
    this.#out.brought++;
    this.#expiresMs = FIRST_EXPIRES_MS;
    if (--this.#out.left === 0) this.forget();
  }

  /** The server says that a request has ended; true when it is the one that is out. */
  ended(number: number, isRefused: boolean): boolean {
    if (this.#out?.number !== number) return false;
    if (this.#out.brought === 0) this.#expiresMs = Math.min(MAX_EXPIRES_MS, this.#expiresMs * 2);
    if (isRefused) this.#restsUntil = this.#host.timers.monotonic() + PAUSE_MS;
    this.forget();
    return true;
  }

  /** What is out is worth nothing. */
  forget(): void {
    this.#out?.lost.cancel();
    this.#out = undefined;
  }
}
