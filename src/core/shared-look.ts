/** One question for all who ask together: whoever asks while one is under way waits for the next, which asks for all of them. */
export class SharedLook {
  readonly #ask: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(ask: () => Promise<void>) {
    this.#ask = ask;
  }

  /** Resolves, or rejects, with a question that was asked after this call. */
  look(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      });
    return this.#next;
  }

  #begin(): Promise<void> {
    const running = this.#ask().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
