type Numbers = Uint8Array | Uint16Array | Uint32Array | Float64Array;

const FIRST_LENGTH = 256;

/** A typed array that grows: one number a message, zero until it is set. */
export class Column {
  readonly #make: (length: number) => Numbers;
  readonly #max: number;
  #values: Numbers;

  private constructor(make: (length: number) => Numbers, max: number) {
    this.#make = make;
    this.#max = max;
    this.#values = make(0);
  }

  /** Small counts and flags; a count stays at 255. */
  static bytes(): Column {
    return new Column((length) => new Uint8Array(length), 0xff);
  }

  /** Counts; a count stays at 65,535. */
  static shorts(): Column {
    return new Column((length) => new Uint16Array(length), 0xffff);
  }

  static words(): Column {
    return new Column((length) => new Uint32Array(length), 0xffff_ffff);
  }

  static doubles(): Column {
    return new Column((length) => new Float64Array(length), Infinity);
  }

  /** Every number from here on is zero. */
  get length(): number {
    return this.#values.length;
  }

  get(at: number): number {
    return this.#values[at] ?? 0;
  }

  set(at: number, value: number): void {
    if (at >= this.#values.length) {
      if (value === 0) return;
      this.#grow(at + 1);
    }
    this.#values[at] = Math.min(value, this.#max);
  }

  add(at: number, difference: number): void {
    this.set(at, this.get(at) + difference);
  }

  has(at: number, flag: number): boolean {
    return (this.get(at) & flag) !== 0;
  }

  raise(at: number, flag: number): void {
    this.set(at, this.get(at) | flag);
  }

  lower(at: number, flag: number): void {
    this.set(at, this.get(at) & ~flag);
  }

  #grow(least: number): void {
    const grown = this.#make(Math.max(FIRST_LENGTH, least, this.#values.length * 2));
    grown.set(this.#values);
    this.#values = grown;
  }
}
