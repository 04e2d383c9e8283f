import type { Clock, TimerHandle } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import type { DeliveryContext } from "./context.ts";

/**
 * The runs whose handlers have not ended, and their time limit. All have the same limit, so the oldest ends first: one
 * timer for all of them.
 */
export class Running {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onTimeout: (run: DeliveryContext, error: HeraldError) => void;
  readonly #runs = new Set<DeliveryContext>();
  #timer: TimerHandle | undefined;
  #idle: (() => void)[] = [];

  constructor(clock: Clock, timeoutMs: number, onTimeout: (run: DeliveryContext, error: HeraldError) => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onTimeout = onTimeout;
  }

  get size(): number {
    return this.#runs.size;
  }

  add(run: DeliveryContext): void {
    if (this.#timeoutMs !== Infinity) {
      run.deadlineAt = this.#clock.monotonic() + this.#timeoutMs;
      this.#timer ??= this.#clock.setTimer(this.#timeoutMs, () => this.#sweep());
    }
    this.#runs.add(run);
  }

  /** False when the run had ended before, by its timeout for instance. */
  end(run: DeliveryContext): boolean {
    const ended = this.#runs.delete(run);
    if (this.#runs.size === 0) this.#becomeIdle();
    return ended;
  }

  /** Resolves when no run is left. */
  idle(): Promise<void> {
    return this.#runs.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  all(): DeliveryContext[] {
    return [...this.#runs];
  }

  #becomeIdle(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const idle = this.#idle;
    if (idle.length === 0) return;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #sweep(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    for (const run of this.#runs) {
      if (run.deadlineAt > now) {
        this.#timer = this.#clock.setTimer(run.deadlineAt - now, () => this.#sweep());
        return;
      }
      this.#onTimeout(run, timedOut(run, this.#timeoutMs));
    }
  }
}

function timedOut(run: DeliveryContext, timeoutMs: number): HeraldError {
  const message = `The handler of '${run.envelope.channel}' did not end within ${timeoutMs} ms; its slot is given to others and its late result is ignored. Watch context.signal, or raise handlerTimeoutMs.`;
  return new HeraldError("HANDLER_TIMEOUT", message, { details: { timeoutMs } });
}
