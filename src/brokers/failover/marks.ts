import type { Broker, BrokerAdmin } from "../../core/broker.ts";
import type { Clock } from "../../core/clock.ts";
import { createEnvelope } from "../../core/envelope.ts";
import { toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { INTERNAL_PREFIX } from "./handover.ts";

/** Where marks are left on the primary. */
export const MARK_CHANNEL = `${INTERNAL_PREFIX}mark`;
/** A mark of a process that is gone goes after this long. */
const KEEP_MS = 86_400_000;
const PAGE = 100;

/**
 * A mark on the primary, renewed while it is well. A primary that comes back without it has lost what it acknowledged since:
 * it is empty, or as old as before the mark. It takes any broker whose channels can be looked after.
 */
export class Marks {
  readonly #broker: Broker;
  readonly #admin: BrokerAdmin;
  readonly #clock: Clock;
  /** Position null: the technology does not say where it put it. */
  #last: { readonly id: string; readonly position: string | null } | undefined;

  constructor(broker: Broker, admin: BrokerAdmin, clock: Clock) {
    this.#broker = broker;
    this.#admin = admin;
    this.#clock = clock;
  }

  /** False when the mark that was left is gone. */
  async isKept(): Promise<boolean> {
    return this.#last === undefined || (await this.#find(this.#last.id)) !== undefined;
  }

  /** Leaves a new mark in the place of the last one. */
  async renew(): Promise<void> {
    if (this.#last === undefined) await this.#admin.declare(MARK_CHANNEL, { retentionMs: KEEP_MS });
    const id = createId(this.#clock.now());
    const [result] = await this.#broker.publish([
      createEnvelope({
        id,
        channel: MARK_CHANNEL,
        source: "failover",
        time: this.#clock.now(),
        body: new TextEncoder().encode("{}"),
      }),
    ]);
    if (result === undefined) return;
    if (!result.ok) throw toHeraldError(result.error);
    // First the new one: whoever looks meanwhile must not miss the old.
    const previous = this.#last;
    this.#last = { id, position: result.position };
    if (previous === undefined) return;
    const position = previous.position ?? (await this.#find(previous.id));
    if (position !== undefined) await this.#admin.erase(MARK_CHANNEL, [position]);
  }

  /** The primary is another one now: nothing is expected of it. */
  forget(): void {
    this.#last = undefined;
  }

  /** The position of a mark; undefined: it is not there. */
  async #find(id: string): Promise<string | undefined> {
    let after: string | undefined;
    for (;;) {
      const from = after === undefined ? {} : { after };
      const page = await this.#admin.browse(MARK_CHANNEL, { limit: PAGE, ...from });
      const found = page.find(({ envelope }) => envelope.id === id);
      if (found !== undefined) return found.position;
      if (page.length < PAGE) return undefined;
      after = page.at(-1)?.position;
    }
  }
}
