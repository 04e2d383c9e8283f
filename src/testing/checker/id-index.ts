/** Where a message stands: its writer, and its number among that writer's messages. */
export interface Place {
  readonly writer: number;
  readonly counter: number;
}

// Beyond this a counter is no counter but some other number at the end of an id.
const MAX_COUNTER = 1 << 24;
const COUNTER = /^(?:0|[1-9]\d{0,7})$/;

/** Turns ids into places, so that what is known of a message is an element of an array. */
export class IdIndex {
  readonly #writers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #others = new Map<string, number>();
  readonly #otherIds: string[] = [];
  readonly #otherWriter: number;

  constructor() {
    this.#otherWriter = this.#writer("");
  }

  /** The place of an id. Ids that are not `writer-counter` share one writer, numbered as they come. */
  place(id: string): Place {
    const dash = id.lastIndexOf("-");
    if (dash > 0) {
      const text = id.slice(dash + 1);
      const counter = COUNTER.test(text) ? Number(text) : MAX_COUNTER;
      if (counter < MAX_COUNTER) return { writer: this.#writer(id.slice(0, dash)), counter };
    }
    let at = this.#others.get(id);
    if (at === undefined) {
      at = this.#otherIds.push(id) - 1;
      this.#others.set(id, at);
    }
    return { writer: this.#otherWriter, counter: at };
  }

  /** The id that stands at a place. */
  id(writer: number, counter: number): string {
    if (writer === this.#otherWriter) return this.#otherIds[counter] as string;
    return `${this.#names[writer]}-${counter}`;
  }

  #writer(name: string): number {
    let at = this.#writers.get(name);
    if (at === undefined) {
      at = this.#names.push(name) - 1;
      this.#writers.set(name, at);
    }
    return at;
  }
}
