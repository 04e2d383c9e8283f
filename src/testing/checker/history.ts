import type { Clock } from "../../core/clock.ts";

/** Why a message was given up on, as far as the rules care. */
export type DeadLetterCause = "attempts" | "rejected" | "expired" | "undecodable";

/** What happened, without its time. Ids are best written `writer-counter`, so that sets of them are arrays. */
export type HistoryEntry =
  /** A publish begins. `batch` numbers the call; envelopes of one call are in order. */
  | {
      readonly type: "pub.invoke";
      readonly id: string;
      readonly channel: string;
      readonly key?: string | undefined;
      readonly priority?: number;
      readonly hash?: number;
      readonly notBefore?: number | undefined;
      readonly expiresAt?: number | undefined;
      readonly batch?: number;
    }
  /** The publish was acknowledged. */
  | { readonly type: "pub.ok"; readonly id: string; readonly deduplicated?: boolean }
  /** The publish was refused for certain. */
  | { readonly type: "pub.fail"; readonly id: string; readonly code: string }
  /** Nobody knows whether the message was stored. */
  | { readonly type: "pub.info"; readonly id: string; readonly code: string }
  /** From here on the group must get what `pattern` covers; with `earliest`, also what was there before. */
  | {
      readonly type: "subscribe";
      readonly group: string;
      readonly pattern: string;
      readonly from: "new" | "earliest";
    }
  /** The group needs nothing more. */
  | { readonly type: "unsubscribe"; readonly group: string }
  /** A handler starts, or a delivery is handed out where there is no handler. */
  | {
      readonly type: "start";
      readonly id: string;
      readonly group: string;
      readonly attempt: number;
      readonly consumer: string;
      readonly channel?: string;
      readonly hash?: number;
    }
  /** The handler's effect is made. */
  | { readonly type: "commit.ok"; readonly id: string; readonly group: string }
  /** The handler failed. */
  | { readonly type: "fail"; readonly id: string; readonly group: string }
  /** The broker knows that it is done with. */
  | { readonly type: "ack.ok"; readonly id: string; readonly group: string }
  /** Nobody knows whether the settlement arrived. */
  | { readonly type: "ack.info"; readonly id: string; readonly group: string }
  /** Given back, counted, not before `delayMs` have passed. */
  | { readonly type: "nack"; readonly id: string; readonly group: string; readonly delayMs: number }
  /** Given back, not counted. */
  | { readonly type: "release"; readonly id: string; readonly group: string; readonly delayMs: number }
  /** Its holder died or let its lease run out: it may come again, counted. */
  | { readonly type: "abandoned"; readonly id: string; readonly group: string }
  /** Acknowledged without a handler on purpose: filtered, or done before. */
  | { readonly type: "skipped"; readonly id: string; readonly group: string }
  | { readonly type: "expired"; readonly id: string; readonly group: string }
  | { readonly type: "dlq"; readonly id: string; readonly group: string; readonly cause: DeadLetterCause }
  /** Sent back from the dead letters: attempts begin anew. */
  | { readonly type: "replay"; readonly id: string; readonly group: string }
  /** At the end of the run the group has it still before it. */
  | { readonly type: "pending"; readonly id: string; readonly group: string }
  /** A composite of brokers says which side it writes to. */
  | { readonly type: "mode"; readonly epoch: number; readonly mode: string }
  /** What was written to the other side while a broker was gone is handed back: one message, by one process. */
  | { readonly type: "drain"; readonly epoch: number; readonly id: string; readonly by: string }
  /** A fault was injected. */
  | { readonly type: "nemesis"; readonly fault: string }
  /** All faults are over. */
  | { readonly type: "heal" }
  /** What the product itself counted for the group, by the end. */
  | {
      readonly type: "counters";
      readonly group: string;
      readonly acked?: number;
      readonly handled?: number;
      readonly deadLettered?: number;
      readonly expired?: number;
      readonly pending?: number;
    }
  /** The product said that this many messages are gone. */
  | { readonly type: "data-loss"; readonly count: number };

/** One line of a history. */
export type HistoryEvent = HistoryEntry & {
  /** Epoch milliseconds. */
  readonly at: number;
};

/** An append-only record of what a run did and saw. */
export class History {
  readonly #clock: Pick<Clock, "now">;
  readonly #events: HistoryEvent[] = [];

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Every event, oldest first. */
  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  /** Adds what happens now. */
  add(entry: HistoryEntry): void {
    this.#events.push({ ...entry, at: this.#clock.now() });
  }

  /** The history as JSON lines, one event each. */
  toLines(): string {
    return this.#events.map((event) => `${JSON.stringify(event)}\n`).join("");
  }
}

/** Reads JSON lines back, one event at a time. Empty lines are passed over. */
export function* parseHistory(lines: Iterable<string>): Generator<HistoryEvent> {
  for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as HistoryEvent;
}
