const MAX_KNOWN = 100_000;

/** Does something once for each name before its first use; what failed is tried again at the next. */
export class FirstUse {
  readonly #task: (name: string) => Promise<void>;
  readonly #known = new Map<string, Promise<void> | undefined>();

  constructor(task: (name: string) => Promise<void>) {
    this.#task = task;
  }

  /** True when it has been done. */
  isDone(name: string): boolean {
    return this.#known.has(name) && this.#known.get(name) === undefined;
  }

  /** Resolves once it has been done, by this call or another. */
  do(name: string): Promise<void> {
    if (this.isDone(name)) return Promise.resolve();
    let doing = this.#known.get(name);
    if (doing === undefined) {
      if (this.#known.size >= MAX_KNOWN) this.#known.clear();
      doing = this.#task(name).then(
        () => void this.#known.set(name, undefined),
        (error: unknown) => {
          this.#known.delete(name);
          throw error;
        },
      );
      this.#known.set(name, doing);
    }
    return doing;
  }

  /** It is to be done again. */
  forget(name: string): void {
    this.#known.delete(name);
  }
}
