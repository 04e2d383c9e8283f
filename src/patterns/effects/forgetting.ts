import type { Clock } from "../../core/clock.ts";
import { isHeraldError, toHeraldError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { KeyValueStore } from "../../core/store.ts";
import type { EffectRecord } from "./record.ts";

const HOUR_MS = 3_600_000;

/** What forgetting needs of a ledger. */
export interface ForgettingParts {
  readonly values: KeyValueStore;
  /** The space of the records. Beside it there is one for the records of each hour, and one that names those hours. */
  readonly space: string;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Which records may go, so that a ledger does not grow for ever. Once an hour, whoever begins a call looks. */
export class Forgetting {
  readonly #parts: ForgettingParts;
  #hour = Number.NaN;
  #lookedAt = -Infinity;

  constructor(parts: ForgettingParts) {
    this.#parts = parts;
  }

  /** Resolves once the record that is begun now will be found when its time is up. */
  async note(id: string): Promise<void> {
    const { values, space, clock } = this.#parts;
    const hour = Math.floor(clock.now() / HOUR_MS);
    if (hour !== this.#hour) {
      await values.put(`${space}.hours`, String(hour), "");
      this.#hour = hour;
    }
    await values.put(`${space}.${hour}`, id, "");
    if (clock.monotonic() - this.#lookedAt < HOUR_MS) return;
    this.#lookedAt = clock.monotonic();
    void this.#look();
  }

  /** Nobody waits for it: what it leaves is for the next one. */
  async #look(): Promise<void> {
    try {
      await this.forget();
    } catch (error) {
      if (isHeraldError(error) && error.code === "CLOSED") return;
      this.#parts.logger.warn({ err: toHeraldError(error) }, "Old records of effects could not be removed.");
    }
  }

  /** Removes what may go; resolves to how many records went. */
  async forget(): Promise<number> {
    const { values, space, clock, retentionMs } = this.#parts;
    const before = clock.now() - retentionMs;
    let gone = 0;
    for (const hour of await values.keys(`${space}.hours`)) {
      if ((Number(hour) + 1) * HOUR_MS > before) continue;
      for (const id of await values.keys(`${space}.${hour}`)) {
        if (await this.#forgetOne(id, before)) gone++;
        await values.delete(`${space}.${hour}`, id);
      }
      await values.delete(`${space}.hours`, hour);
    }
    return gone;
  }

  /** What was begun again later is noted in a later hour too. */
  async #forgetOne(id: string, before: number): Promise<boolean> {
    const { values, space } = this.#parts;
    const kept = await values.get(space, id);
    if (kept === undefined || (JSON.parse(kept.value) as EffectRecord).at > before) return false;
    return values.delete(space, id, kept.token);
  }
}
