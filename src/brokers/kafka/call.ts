import type { PublishResult } from "../../core/broker.ts";
import type { HeraldError } from "../../core/errors.ts";

/** The result of an accepted publish. */
export class Accepted {
  readonly ok = true as const;
  readonly deduplicated: boolean;
  /** Kafka does not say. */
  readonly matched = null;
  readonly position: string | null;

  constructor(position: string | null, deduplicated = false) {
    this.position = position;
    this.deduplicated = deduplicated;
  }
}

/** Who waits for the answer to a publish. */
export interface Answering {
  set(at: number, result: PublishResult): void;
  fail(at: number, error: HeraldError): void;
}

/** One call of publish, whose envelopes end one by one. */
export class PublishCall implements Answering {
  readonly done: Promise<readonly PublishResult[]>;
  readonly #results: PublishResult[];
  #left: number;
  #resolve: (results: readonly PublishResult[]) => void = () => {};

  constructor(count: number) {
    this.#results = Array.from({ length: count });
    this.#left = count;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
    if (count === 0) this.#resolve([]);
  }

  set(at: number, result: PublishResult): void {
    if (this.#results[at] !== undefined) return;
    this.#results[at] = result;
    if (--this.#left === 0) this.#resolve(this.#results);
  }

  fail(at: number, error: HeraldError): void {
    this.set(at, { ok: false, error });
  }
}
