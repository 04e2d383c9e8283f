import { Column } from "../checker/columns.ts";
import type { HistoryEvent } from "../checker/history.ts";
import { IdIndex } from "../checker/id-index.ts";

const ACKED = 1;
const ENDED = 2;

/** How far a run is: what was acknowledged, and how much of it came to an end. A few bits a message. */
export class Progress {
  readonly #ids = new IdIndex();
  readonly #flags: Column[] = [];
  #acked = 0;
  #ended = 0;
  #open = 0;
  #starts = 0;

  /** Messages whose publish was acknowledged. */
  get acked(): number {
    return this.#acked;
  }

  /** Messages that took effect or are dead letters. */
  get ended(): number {
    return this.#ended;
  }

  /** Acknowledged and not ended. */
  get open(): number {
    return this.#open;
  }

  /** Handler starts. */
  get starts(): number {
    return this.#starts;
  }

  /** Ids of those that are open, at most so many. */
  openIds(most: number): string[] {
    const found: string[] = [];
    for (const [writer, flags] of this.#flags.entries())
      for (let counter = 0; counter < (flags?.length ?? 0) && found.length < most; counter++)
        if (flags.get(counter) === ACKED) found.push(this.#ids.id(writer, counter));
    return found;
  }

  hear(event: HistoryEvent): void {
    if (event.type === "pub.ok") this.#mark(event.id, ACKED);
    else if (event.type === "commit.ok" || event.type === "dlq") this.#mark(event.id, ENDED);
    else if (event.type === "start") this.#starts++;
  }

  /** The message is a dead letter. */
  died(id: string): void {
    this.#mark(id, ENDED);
  }

  #mark(id: string, flag: number): void {
    const { writer, counter } = this.#ids.place(id);
    const flags = (this.#flags[writer] ??= Column.bytes());
    const before = flags.get(counter);
    if ((before & flag) !== 0) return;
    flags.raise(counter, flag);
    if (flag === ACKED) this.#acked++;
    else this.#ended++;
    if (flag === ACKED && before === 0) this.#open++;
    else if (flag === ENDED && before === ACKED) this.#open--;
  }
}
