import { inboxFull, inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions, InboxState } from "../../core/store.ts";
import { Gathered } from "../shared/gathered.ts";
import type { Command } from "./protocol.ts";

/** The record behind exactly-once, in the store of the messages: what is done is durable, what runs is known in this process. */
export class FileInbox implements Inbox {
  readonly #ask: (command: Command) => Promise<unknown>;
  readonly #limits: Required<InboxOptions>;
  readonly #claims: Gathered<string, InboxState | "full">;
  readonly #commits: Gathered<string, undefined>;

  constructor(ask: (command: Command) => Promise<unknown>, options: InboxOptions) {
    this.#ask = ask;
    const limits = (this.#limits = inboxLimits(options));
    this.#claims = new Gathered(
      async (scope, ids) =>
        (await ask({ op: "inboxClaim", scope, ids, ...limits })) as readonly (InboxState | "full")[],
    );
    this.#commits = new Gathered(async (scope, ids) => {
      await ask({ op: "inboxCommit", scope, ids });
      return ids.map(() => undefined);
    });
  }

  /** Rejects with `OVERLOADED` when as many ids are known as may be. */
  async claim(group: string, id: string): Promise<InboxState> {
    const state = await this.#claims.ask(group, id);
    if (state === "full") throw inboxFull(this.#limits.maxIds);
    return state;
  }

  async commit(group: string, id: string): Promise<void> {
    await this.#commits.ask(group, id);
  }

  async abandon(group: string, id: string): Promise<void> {
    await this.#ask({ op: "inboxAbandon", scope: group, id });
  }
}
