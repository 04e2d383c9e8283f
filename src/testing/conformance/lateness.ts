import { monitorEventLoopDelay } from "node:perf_hooks";
import type { TestTime } from "../time.ts";

/**
 * How late this machine is with anything at all, while a case runs: a limit of a broker's own lateness holds on top of it. Stepped
 * time is never late.
 */
export class Lateness implements Disposable {
  readonly #time: TestTime;
  readonly #delays = monitorEventLoopDelay({ resolution: 5 });

  constructor(time: TestTime) {
    this.#time = time;
    this.#delays.enable();
  }

  /** A limit on this machine, milliseconds: other processes are kept waiting as this one is, and several have a part in it. */
  limit(ms: number): number {
    return this.#time.isStepped ? ms : ms + (4 * this.#delays.max) / 1e6;
  }

  [Symbol.dispose](): void {
    this.#delays.disable();
  }
}
