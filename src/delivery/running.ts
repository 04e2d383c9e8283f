import type { Clock, TimerHandle } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import type { DeliveryContext } from "./context.ts";

/**
 * The runs whose handlers have not ended, and their time limit, with one timer for all of them. An array and not a Set: a
 * Set that is added to and deleted from without end leaves a chain of its old tables, each of which keeps the next alive
 * until a full collection, and with it the messages.
 */
export class Running {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onTimeout: (run: DeliveryContext, error: HeraldError) => void;
  readonly #runs: DeliveryContext[] = [];
  #timer: TimerHandle | undefined;
  #idle: (() => void)[] = [];

  constructor(
    clock: Clock,
    timeoutMs: number,
    onTimeout: (run: DeliveryContext, error: HeraldError) => void,
  ) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onTimeout = onTimeout;
  }

  add(run: DeliveryContext): void {
    if (this.#timeoutMs !== Infinity) {
      run.deadlineAt = this.#clock.monotonic() + this.#timeoutMs;
      this.#timer ??= this.#clock.setTimer(this.#timeoutMs, () => this.#sweep());
    }
    run.slot = this.#runs.length;
    this.#runs.push(run);
  }

  /** False when the run had ended before, by its timeout for instance. */
  end(run: DeliveryContext): boolean {
    if (run.slot < 0) return false;
    const last = this.#runs.pop() as DeliveryContext;
    if (last !== run) {
      this.#runs[run.slot] = last;
      last.slot = run.slot;
    }
    run.slot = -1;
    if (this.#runs.length === 0) this.#becomeIdle();
    return true;
  }

  /** Resolves when no run is left. */
  idle(): Promise<void> {
    return this.#runs.length === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
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
    for (const run of this.#runs.slice()) {
      if (run.deadlineAt <= now) this.#onTimeout(run, timedOut(run, this.#timeoutMs));
    }
    this.#arm(now);
  }

  /** A run that began during a sweep has set a timer that may be too late for those that ran already. */
  #arm(now: number): void {
    this.#timer?.cancel();
    let nextAt = Infinity;
    for (const run of this.#runs) nextAt = Math.min(nextAt, run.deadlineAt);
    this.#timer = nextAt === Infinity ? undefined : this.#clock.setTimer(nextAt - now, () => this.#sweep());
  }
}

function timedOut({ isClaiming, envelope: { channel } }: DeliveryContext, timeoutMs: number): HeraldError {
  const message = isClaiming
    ? `The handler of '${channel}' was not started: the inbox did not answer within ${timeoutMs} ms. The message comes back uncounted; see whether the broker is overloaded.`
    : `The handler of '${channel}' did not end within ${timeoutMs} ms; its slot is given to others and its late result is ignored. Watch context.signal, or raise handlerTimeoutMs.`;
  return new HeraldError("HANDLER_TIMEOUT", message, { details: { timeoutMs } });
}
