import type { Delivery } from "../../core/delivery.ts";
import { Gathering } from "./gathering.ts";
import type { Source } from "./source.ts";

/**
 * Reads all of its sources at once. What there is room for is shared by those that bring something; one that brought nothing
 * when it was last asked may bring one. What they bring together may be a little more than there is room for: it waits, or
 * goes back. Room is never kept for one that does not answer.
 */
export class FairGathering extends Gathering {
  /** Who is looked at first, so that nobody is always last. */
  #turn = 0;

  protected async gather(limit: number, leftMs: number): Promise<readonly Delivery[]> {
    const ready = this.#takeAll(limit);
    if (ready.length > 0) return ready;
    const asked = this.#askAll(limit, leftMs);
    if (leftMs > 0) return this.#takeAll(limit);
    await Promise.all(asked);
    return this.#takeAll(limit);
  }

  #askAll(limit: number, leftMs: number): Promise<number>[] {
    const { room } = this;
    if (room <= 0) return [];
    const idle = this.#inTurn().filter((source) => this.canAsk(source));
    const busy = idle.filter(({ lastCount }) => lastCount > 0).length;
    const isAlone = this.#isAlone;
    const share = Math.ceil(room / Math.max(1, leftMs > 0 ? busy : idle.length));
    return idle.map((source) => {
      const isProbe = leftMs > 0 && source.lastCount === 0 && !isAlone;
      return this.ask(source, isProbe ? 1 : Math.min(limit, share), leftMs);
    });
  }

  get #isAlone(): boolean {
    let asked = 0;
    for (const { isPushed } of this.sources) if (!isPushed) asked++;
    return asked === 1;
  }

  #takeAll(limit: number): readonly Delivery[] {
    const taken: Delivery[] = [];
    for (const source of this.#inTurn()) {
      if (taken.length >= limit) break;
      this.take(source, limit, taken);
    }
    if (taken.length > 0) this.#turn++;
    return taken;
  }

  #inTurn(): readonly Source[] {
    const all = [...this.sources];
    const first = all.length === 0 ? 0 : this.#turn % all.length;
    return first === 0 ? all : [...all.slice(first), ...all.slice(0, first)];
  }
}
