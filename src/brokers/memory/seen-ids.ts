import type { Clock } from "../../core/clock.ts";

/** Ids seen within a window, with the position each got. Two generations: what is older than two windows is gone. */
export class SeenIds {
  readonly #clock: Clock;
  readonly #windowMs: number;
  #current = new Map<string, number>();
  #previous = new Map<string, number>();
  #turnedAt: number;

  constructor(clock: Clock, windowMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#turnedAt = clock.monotonic();
  }

  /** The position of an id that was added within the window. */
  get(id: string): number | undefined {
    this.#turn();
    return this.#current.get(id) ?? this.#previous.get(id);
  }

  add(id: string, position: number): void {
    this.#turn();
    this.#current.set(id, position);
  }

  #turn(): void {
    const now = this.#clock.monotonic();
    const age = now - this.#turnedAt;
    if (age < this.#windowMs) return;
    const isRecent = age < 2 * this.#windowMs;
    this.#previous = isRecent ? this.#current : new Map();
    this.#current = new Map();
    this.#turnedAt = isRecent ? this.#turnedAt + this.#windowMs : now;
  }
}
