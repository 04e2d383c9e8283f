/** Does something once for each key: what is under way or done is not begun again, what failed is when it is next asked for. */
export class Once<K> {
  readonly #known = new Map<K, Promise<void>>();

  /** Resolves once it has been done, by this call or another; rejects with what the task rejects with. */
  do(key: K, task: () => Promise<void>): Promise<void> {
    let doing = this.#known.get(key);
    if (doing === undefined) {
      doing = task().catch((error: unknown) => {
        this.#known.delete(key);
        throw error;
      });
      this.#known.set(key, doing);
    }
    return doing;
  }
}
