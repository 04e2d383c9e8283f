import { inboxKey } from "../../core/inbox-limits.ts";
import type { Inbox, InboxState } from "../../core/store.ts";
import { isOutage } from "./outage.ts";

/** What the inbox needs of the rest. */
export interface InboxHost {
  isPrimaryUp(): boolean;
  /** A call to the primary with its deadline. */
  within<T>(promise: Promise<T>): Promise<T>;
  primaryFailed(error: unknown): void;
}

/** What the primary is told later; beyond that only the fallback knows of it. */
const MAX_OWED = 100_000;

/** What the primary has not heard of yet. */
interface Debt {
  readonly what: "commit" | "abandon";
  readonly group: string;
  readonly id: string;
}

/**
 * The record of what took effect, on both sides: an id that either side knows is done. Written on the fallback first, so
 * that a primary which comes back empty or old makes nothing take effect again, and on the primary, so that processes which
 * do not share the fallback know it too.
 */
export class FailoverInbox implements Inbox {
  readonly #primary: Inbox;
  readonly #fallback: Inbox;
  readonly #host: InboxHost;
  /** What was claimed on the primary, and is not ended there. */
  readonly #claimed = new Set<string>();
  #owed: Debt[] = [];

  constructor(sides: { readonly primary: Inbox; readonly fallback: Inbox }, host: InboxHost) {
    this.#primary = sides.primary;
    this.#fallback = sides.fallback;
    this.#host = host;
  }

  /**
   * The primary is asked first, because it may take its whole deadline to answer: another process may have ended the message
   * meanwhile, and the fallback, which is told of that first, is the one to say so.
   */
  async claim(group: string, id: string): Promise<InboxState> {
    const there = await this.#claimThere(group, id);
    if (there === "done" || there === "busy") return there;
    const isHeld = there === "new";
    let here: InboxState | undefined;
    try {
      here = await this.#fallback.claim(group, id);
      if (here === "new" && isHeld) this.#claimed.add(inboxKey(group, id));
      return here;
    } finally {
      if (here !== "new" && isHeld) await this.#tell({ what: "abandon", group, id });
    }
  }

  async commit(group: string, id: string): Promise<void> {
    await this.#fallback.commit(group, id);
    this.#claimed.delete(inboxKey(group, id));
    await this.#tell({ what: "commit", group, id });
  }

  async abandon(group: string, id: string): Promise<void> {
    await this.#fallback.abandon(group, id);
    if (this.#claimed.delete(inboxKey(group, id))) await this.#tell({ what: "abandon", group, id });
  }

  /** The primary is back: it is told of what took effect meanwhile, and of what it need not hold any more. */
  async settleDebts(): Promise<void> {
    while (this.#owed.length > 0) {
      const batch = this.#owed.slice(0, 100);
      await this.#host.within(
        Promise.all(batch.map(async ({ what, group, id }) => this.#primary[what](group, id))),
      );
      this.#owed.splice(0, batch.length);
    }
  }

  /** What the primary says; undefined: it does not say. */
  async #claimThere(group: string, id: string): Promise<InboxState | undefined> {
    if (!this.#host.isPrimaryUp()) return undefined;
    const asked = Promise.resolve(this.#primary.claim(group, id));
    try {
      return await this.#host.within(asked);
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#host.primaryFailed(error);
      // A claim that goes through after all would be held by nobody.
      asked
        .then(
          (state) => (state === "new" ? this.#primary.abandon(group, id) : undefined),
          () => undefined,
        )
        .catch(() => {});
      return undefined;
    }
  }

  /** An id that the primary took for claimed for ever would never be handled again. */
  async #tell(debt: Debt): Promise<void> {
    if (!this.#host.isPrimaryUp()) return this.#owe(debt);
    try {
      await this.#host.within(Promise.resolve(this.#primary[debt.what](debt.group, debt.id)));
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#owe(debt);
      this.#host.primaryFailed(error);
    }
  }

  #owe(debt: Debt): void {
    if (this.#owed.length < MAX_OWED) this.#owed.push(debt);
  }
}
