import { setImmediate as turn } from "node:timers/promises";
import { notConnected } from "./errors.ts";

/** Questions of one turn of the event loop, asked as one: a hundred thousand groups are not a hundred thousand requests. */
export class Together<K, V> {
  readonly #most: number;
  readonly #ask: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>;
  #next: { readonly keys: Set<K>; readonly answers: Promise<ReadonlyMap<K, V>> } | undefined;

  /** `most`: so many go as one. */
  constructor(most: number, ask: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>) {
    this.#most = most;
    this.#ask = ask;
  }

  /** Rejects with what asking rejects with, and with `NOT_CONNECTED` where there was no answer for this one. */
  async get(key: K): Promise<V> {
    if (this.#next === undefined || this.#next.keys.size >= this.#most) this.#next = this.#begin();
    const { keys, answers } = this.#next;
    keys.add(key);
    const found = (await answers).get(key);
    if (found === undefined) throw notConnected();
    return found;
  }

  #begin() {
    const keys = new Set<K>();
    const answers = turn().then(() => {
      if (this.#next?.keys === keys) this.#next = undefined;
      return this.#ask([...keys]);
    });
    return { keys, answers };
  }
}
