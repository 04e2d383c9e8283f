import type { Capabilities } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";

/** What a broker works with while it is open. */
export interface Opened<R> {
  readonly runtime: R;
  readonly capabilities: Capabilities;
}

/** Takes what is to be done when the broker closes, or does not open after all: last in, first out. */
export type Ending = (end: () => unknown) => void;

/** How one kind of broker lives. */
export interface Life<R> {
  /** The technology, as people write it. */
  readonly title: string;
  /** Begins everything; whatever it has begun it hands to `ending` at once. */
  readonly start: (ending: Ending) => Promise<Opened<R>>;
  /** Gives anything that is thrown a code. */
  readonly named: (error: unknown) => HeraldError;
}

/** A broker that is not open yet, or no more. */
export function notOpen(title: string): HeraldError {
  const message = `This ${title} broker is not open: open it first, or make a new one after close().`;
  return new HeraldError("CLOSED", message);
}

/** Opens once, closes once and for all: the part of the broker contract that is alike over every server. */
export class Lifecycle<R> {
  readonly #life: Life<R>;
  readonly #endings: (() => unknown)[] = [];
  #state: "new" | "opening" | "open" | "closed" = "new";
  #runtime: R | undefined;
  #closing: Promise<void> | undefined;

  constructor(life: Life<R>) {
    this.#life = life;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Throws `CLOSED` unless the broker is open. */
  get runtime(): R {
    if (this.#state !== "open" || this.#runtime === undefined) throw notOpen(this.#life.title);
    return this.#runtime;
  }

  /** Rejects with `CLOSED`, `ALREADY_EXISTS` when it is open or opens, `CANCELLED` by the signal or a close, or what kept it from opening. */
  async open(signal?: AbortSignal): Promise<Capabilities> {
    const { title, start, named } = this.#life;
    if (this.isClosed) throw notOpen(title);
    if (this.#state !== "new")
      throw new HeraldError("ALREADY_EXISTS", `This ${title} broker is open already.`);
    this.#state = "opening";
    try {
      const { runtime, capabilities } = await start((end) => this.#endings.push(end));
      if (signal?.aborted === true || this.isClosed)
        throw new HeraldError("CANCELLED", `Opening the ${title} broker was cancelled.`);
      this.#runtime = runtime;
      this.#state = "open";
      return capabilities;
    } catch (error) {
      await this.#end();
      if (!this.isClosed) this.#state = "new";
      throw named(error);
    }
  }

  /** Calls with what is open. Rejects with `CLOSED`, also when the broker closed meanwhile, else with what was thrown, named. */
  async run<T>(call: (runtime: R) => Promise<T>): Promise<T> {
    const { runtime } = this;
    try {
      return await call(runtime);
    } catch (error) {
      throw this.isOpen ? this.#life.named(error) : notOpen(this.#life.title);
    }
  }

  /** Idempotent. One that opens meanwhile is cancelled, and ends what it has begun. */
  close(): Promise<void> {
    this.#state = "closed";
    this.#closing ??= this.#runtime === undefined ? Promise.resolve() : this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    for (const end of this.#endings.splice(0).toReversed()) await end();
  }
}
