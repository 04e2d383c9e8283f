import type fc from "fast-check";

/** Does the same to the model and to the real thing, and compares them. */
export type ModelStep<M extends object, R> = (model: M, real: R) => Promise<void>;

/** A command that can always be run and says what it did. */
export class ModelCommand<M extends object, R> implements fc.AsyncCommand<M, R> {
  readonly #text: string;
  readonly #step: ModelStep<M, R>;

  constructor(text: string, step: ModelStep<M, R>) {
    this.#text = text;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  run(model: M, real: R): Promise<void> {
    return this.#step(model, real);
  }

  toString(): string {
    return this.#text;
  }
}
