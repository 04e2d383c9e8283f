import type { Delivery } from "../../core/delivery.ts";
import { Gathering } from "../shared/gathering.ts";
import type { Source } from "../shared/source.ts";

/** How long a source that has nothing is waited for; then it is asked again. */
const STAND_MS = 60_000;

/**
 * Reads its sources by rank: nothing is handed out while one of a lower rank has something. One that is found empty is left
 * waiting for its next message, so that it need not be asked again.
 */
export class RankedGathering extends Gathering {
  protected async gather(limit: number, leftMs: number): Promise<readonly Delivery[]> {
    const taken: Delivery[] = [];
    for (const source of [...this.sources].toSorted((a, b) => a.rank - b.rank)) {
      this.take(source, limit, taken);
      const wanted = Math.min(limit - taken.length, this.free);
      if (wanted <= 0) break;
      if (!this.canAsk(source)) continue;
      const came = await this.ask(source, wanted, 0);
      this.take(source, limit, taken);
      if (came < wanted && leftMs > 0 && !this.isClosed && this.canAsk(source)) this.#stand(source);
    }
    return taken;
  }

  #stand(source: Source): void {
    void this.ask(source, 1, STAND_MS);
  }
}
