import { EXIT } from "./exit-codes.ts";

const SIGNALS = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

/** Says when a command must end early, and what the process ends with then. */
export class Interrupt {
  readonly #controller = new AbortController();
  #exit: number | undefined;

  /** Fires once, when the command must end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What the process ends with whatever the command says; undefined when nothing interrupted it. */
  get exit(): number | undefined {
    return this.#exit;
  }

  /**
   * From now on Ctrl-C and a termination ask the command to end, and a second one ends the process at once. The function
   * that it returns makes them what they were.
   */
  arm(onFirst: () => void): () => void {
    const listeners = Object.entries(SIGNALS).map(([name, exit]) => {
      const listener = (): void => {
        // The second time: whoever waits for the end has lost patience.
        if (this.signal.aborted) process.exit(exit);
        this.end(exit);
        onFirst();
      };
      process.on(name, listener);
      return { name, listener };
    });
    return () => {
      for (const { name, listener } of listeners) process.off(name, listener);
    };
  }

  /** Asks the command to end; the first exit code stays. */
  end(exit: number): void {
    this.#exit ??= exit;
    this.#controller.abort();
  }

  /** Resolves when the command must end. */
  ended(): Promise<void> {
    if (this.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.signal.addEventListener("abort", () => resolve(), { once: true }));
  }
}
