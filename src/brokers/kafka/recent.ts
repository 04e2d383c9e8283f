import type { PublishResult } from "../../core/broker.ts";
import type { Clock } from "../../core/clock.ts";

/** What this process published to be recognised, within a window: the answer, or that it is still to come. Two generations. */
export class Recent {
  readonly #clock: Clock;
  readonly #windowMs: number;
  #current = new Map<string, Promise<PublishResult>>();
  #previous = new Map<string, Promise<PublishResult>>();
  #turnedAt: number;

  constructor(clock: Clock, windowMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#turnedAt = clock.monotonic();
  }

  get(name: string): Promise<PublishResult> | undefined {
    this.#turn();
    return this.#current.get(name) ?? this.#previous.get(name);
  }

  /** Is forgotten when the publish fails. */
  add(name: string, answer: Promise<PublishResult>): void {
    this.#turn();
    this.#current.set(name, answer);
    void answer.then(({ ok }) => {
      if (ok) return;
      for (const names of [this.#current, this.#previous]) if (names.get(name) === answer) names.delete(name);
    });
  }

  #turn(): void {
    const now = this.#clock.monotonic();
    if (now - this.#turnedAt < this.#windowMs) return;
    this.#previous = now - this.#turnedAt < 2 * this.#windowMs ? this.#current : new Map();
    this.#current = new Map();
    this.#turnedAt = now;
  }
}
