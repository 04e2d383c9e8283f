/** Counts promises that nobody awaits one by one, and tells when none is left. It keeps no result. */
export class Outstanding {
  #count = 0;
  #idle: (() => void)[] = [];
  readonly #done = (): void => {
    if (--this.#count > 0 || this.#idle.length === 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  };

  /** `promise` must not reject. */
  track(promise: Promise<unknown>): void {
    this.#count++;
    void promise.then(this.#done);
  }

  /** Resolves when everything tracked has ended, also what was tracked meanwhile. */
  idle(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
