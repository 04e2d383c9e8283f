const resolved = Promise.resolve();

/** Runs `task`, which must not throw, when the current turn of synchronous code has ended. Cheaper than queueMicrotask, which makes a resource for each. */
export function soon(task: () => void): void {
  void resolved.then(task);
}
