import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";

/**
 * What takes its time before it can leave (an envelope whose codec has to ask somebody), and what comes behind it on the same
 * channel: it leaves in the order of the calls.
 */
export class InTurn<Item = Envelope> {
  readonly #maxWaiting: number;
  /** By channel: resolves when the last one has left, rejects when it could not be encoded. */
  readonly #last = new Map<string, Promise<unknown>>();
  #waiting = 0;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  /** Is there something of this channel that has not left? */
  has(channel: string): boolean {
    return this.#last.has(channel);
  }

  /** Calls `send` when the item is ready and those before it have left; rejects with `OVERLOADED` when too many wait. */
  run<T>(item: Item | Promise<Item>, channel: string, send: (item: Item) => Promise<T>): Promise<T> {
    const ready = Promise.resolve(item);
    if (this.#waiting >= this.#maxWaiting) {
      ready.catch(() => undefined);
      return Promise.reject(overloaded(this.#maxWaiting));
    }
    this.#waiting++;
    // The answer is wrapped: those behind wait for the sending, not for the broker.
    const left = Promise.all([ready, this.#last.get(channel)]).then(([one]) => ({ answer: send(one) }));
    const turn: Promise<void> = left.then(
      () => this.#end(channel, turn),
      () => this.#end(channel, turn),
    );
    this.#last.set(channel, turn);
    return left.then(({ answer }) => answer);
  }

  /** Resolves when everything has left or has failed. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }

  #end(channel: string, turn: Promise<unknown>): void {
    this.#waiting--;
    if (this.#last.get(channel) === turn) this.#last.delete(channel);
  }
}

function overloaded(maxPending: number): HeraldError {
  const message = `${maxPending} publishes wait to be made ready already: await publish(), or raise maxPendingPublishes.`;
  return new HeraldError("OVERLOADED", message, { details: { maxPending } });
}
