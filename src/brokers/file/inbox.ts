import { inboxLimits } from "../../core/inbox-limits.ts";
import type { Inbox, InboxOptions, InboxState } from "../../core/store.ts";
import type { Command } from "./protocol.ts";

/** The record behind exactly-once, in the store of the messages: what is done is durable, what runs is known in this process. */
export class FileInbox implements Inbox {
  readonly #ask: (command: Command) => Promise<unknown>;
  readonly #limits: Required<InboxOptions>;

  constructor(ask: (command: Command) => Promise<unknown>, options: InboxOptions) {
    this.#ask = ask;
    this.#limits = inboxLimits(options);
  }

  /** Rejects with `OVERLOADED` when as many ids are known as may be. */
  async claim(group: string, id: string): Promise<InboxState> {
    return (await this.#ask({ op: "inboxClaim", scope: group, id, ...this.#limits })) as InboxState;
  }

  async commit(group: string, id: string): Promise<void> {
    await this.#ask({ op: "inboxCommit", scope: group, id });
  }

  async abandon(group: string, id: string): Promise<void> {
    await this.#ask({ op: "inboxAbandon", scope: group, id });
  }
}
