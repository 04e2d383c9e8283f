interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Items of one call: few enough that nobody else waits long for what carries it out. */
const MOST = 256;

/** What is asked about one name in one turn of the event loop, asked in one call. */
export class Gathered<Item, Answer> {
  readonly #send: (name: string, items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #most: number;
  #waiting = new Map<string, Waiting<Item, Answer>[]>();
  readonly #flush = (): void => this.#sendAll();

  /** `send` answers every item in its place; when it rejects, all of them do. `most`: items of one call. */
  constructor(send: (name: string, items: readonly Item[]) => Promise<readonly Answer[]>, most = MOST) {
    this.#send = send;
    this.#most = most;
  }

  ask(name: string, item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      // After every promise that runs now: what they ask goes along.
      if (this.#waiting.size === 0) queueMicrotask(() => process.nextTick(this.#flush));
      const waiting = this.#waiting.get(name);
      if (waiting === undefined) this.#waiting.set(name, [{ item, resolve, reject }]);
      else waiting.push({ item, resolve, reject });
    });
  }

  #sendAll(): void {
    const all = this.#waiting;
    this.#waiting = new Map();
    for (const [name, waiting] of all)
      for (let at = 0; at < waiting.length; at += this.#most)
        void this.#sendSome(name, waiting.slice(at, at + this.#most));
  }

  async #sendSome(name: string, waiting: readonly Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#send(
        name,
        waiting.map(({ item }) => item),
      );
      for (const [at, { resolve }] of waiting.entries()) resolve(answers[at] as Answer);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
