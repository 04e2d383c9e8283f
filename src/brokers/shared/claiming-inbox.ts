import { inboxFull, inboxKey } from "../../core/inbox-limits.ts";
import type { Inbox, InboxState } from "../../core/store.ts";

/** Where the ids that were handled are recorded, for every process. Its calls reject as the broker's own do. */
export interface HandledIds {
  /** `done`: it is recorded. Otherwise how many ids are. */
  find(group: string, id: string): Promise<"done" | number>;
  /** From now on `done` for everybody. */
  record(group: string, id: string): Promise<void>;
  /** A transaction of the broker has recorded it. Absent: whoever asks finds it at once. */
  recorded?(group: string, id: string): void;
}

/**
 * The inbox of a broker with a server. What was handled survives what the record survives; what is being handled is known to
 * this process alone, so that a process that dies blocks nobody.
 */
export class ClaimingInbox implements Inbox {
  readonly #handled: HandledIds;
  readonly #maxIds: number;
  readonly #busy = new Set<string>();

  constructor(handled: HandledIds, maxIds: number) {
    this.#handled = handled;
    this.#maxIds = maxIds;
  }

  async claim(group: string, id: string): Promise<InboxState> {
    const key = inboxKey(group, id);
    if (this.#busy.has(key)) return "busy";
    // Ours before it is known: a second delivery must not ask meanwhile.
    this.#busy.add(key);
    let state: InboxState | undefined;
    try {
      const found = await this.#handled.find(group, id);
      // What is being handled will be recorded too.
      if (found !== "done" && found + this.#busy.size > this.#maxIds) throw inboxFull(this.#maxIds);
      state = found === "done" ? "done" : "new";
      return state;
    } finally {
      if (state !== "new") this.#busy.delete(key);
    }
  }

  async commit(group: string, id: string): Promise<void> {
    try {
      await this.#handled.record(group, id);
    } finally {
      this.#busy.delete(inboxKey(group, id));
    }
  }

  committed(group: string, id: string): void {
    this.#handled.recorded?.(group, id);
    this.#busy.delete(inboxKey(group, id));
  }

  abandon(group: string, id: string): void {
    this.#busy.delete(inboxKey(group, id));
  }
}
