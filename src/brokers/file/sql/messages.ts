import { PUBLISH_STRIDE, type PublishBlock } from "../protocol.ts";

/** The messages of a block, one by one. */
export class Messages {
  readonly block: PublishBlock;
  readonly #heads: readonly string[];
  /** Where the body that is to come begins. */
  readonly #offsets: Float64Array;

  constructor(block: PublishBlock) {
    this.block = block;
    this.#heads = block.heads.split("\n");
    this.#offsets = new Float64Array(this.#heads.length + 1);
    for (let i = 0; i < this.#heads.length; i++)
      this.#offsets[i + 1] = (this.#offsets[i] as number) + this.#number(i, 3);
  }

  get count(): number {
    return this.#heads.length;
  }

  head(i: number): string {
    return this.#heads[i] as string;
  }

  channel(i: number): string {
    return this.block.channels[this.#number(i, 0)] as string;
  }

  priority(i: number): number {
    return this.#number(i, 1);
  }

  /** Epoch milliseconds; null: at once. */
  deliverAt(i: number): number | null {
    const at = this.#number(i, 2);
    return Number.isNaN(at) ? null : at;
  }

  body(i: number): Uint8Array {
    return this.block.bodies.subarray(this.#offsets[i], this.#offsets[i + 1]);
  }

  #number(i: number, column: number): number {
    return this.block.numbers[i * PUBLISH_STRIDE + column] as number;
  }
}
