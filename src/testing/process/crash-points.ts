import type { Crash, CrashPoint } from "./spec.ts";

/** Where a child dies by its own hand. */
export class CrashPoints {
  readonly #crash: Crash | undefined;
  #passed = 0;

  constructor(crash: Crash | undefined) {
    this.#crash = crash;
  }

  /** Passes a point. Does not return from the one it is to die at. */
  pass(point: CrashPoint): void {
    if (this.#isTime(point)) dies();
  }

  /** Runs a step of the broker, passing its three points. */
  async around<T>(step: "publish" | "deadLetter" | "settle", call: () => Promise<T>): Promise<T> {
    this.pass(`${step}.before`);
    const answer = call();
    // One turn of the event loop, so that what was handed over has left the process.
    if (this.#isTime(`${step}.sent`)) setImmediate(dies);
    const result = await answer;
    this.pass(`${step}.after`);
    return result;
  }

  #isTime(point: CrashPoint): boolean {
    return this.#crash?.point === point && ++this.#passed === this.#crash.nth;
  }
}

function dies(): void {
  process.kill(process.pid, "SIGKILL");
}
