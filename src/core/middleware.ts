import type { Effect } from "./effect.ts";
import type { Message } from "./message.ts";
import type { Stores } from "./store.ts";

/** How a message is given back. All optional. */
export interface NackOptions {
  /** When it comes again, milliseconds. Default: as the retry policy says. */
  readonly delayMs?: number;
  /** False: to the dead letters at once. Default true. */
  readonly requeue?: boolean;
  /** Why; kept with its failures and in its dead letter. */
  readonly reason?: string;
}

/** What a handler may do and know beside its message. */
export interface HandlerContext {
  /** 1 for the first. */
  readonly attempt: number;
  /** True when the message may have been handed out before: attempt above 1. */
  readonly redelivered: boolean;
  /** The group it was delivered to; null for a broadcast. */
  readonly group: string | null;
  /** The agent that handles it. */
  readonly agentId: string;
  /** Fires when the handler's time is up or the service gives up draining; its reason is a HeraldError. */
  readonly signal: AbortSignal;
  /** The bytes as they came. */
  readonly body: Uint8Array;
  /** Opaque place of the message in its channel. */
  readonly position: string;
  /**
   * Tells what was spent on the budget of the conversation: `{ tokens: 1200 }`; resolves with what is left of each. Rejects with
   * `BUDGET_EXCEEDED` when that is less than nothing: let it through, and the message goes to the dead letters. Nothing
   * happens where there is no budget.
   */
  spend(amounts: Readonly<Record<string, number>>): Promise<Readonly<Record<string, number>>>;
  /** Manual mode: handled. */
  ack(): void;
  /** Manual mode: give it back. `requeue: false` sends it to the dead letters. Without `delayMs` the retry policy decides. */
  nack(options?: NackOptions): void;
  /**
   * Calls something outside once for all messages of this agent that name the same `name` and `key`, however often they are
   * handed out or redriven and in whatever process; resolves to its result, the recorded one when it was called before. Results are kept
   * as JSON. Where another process is at it, that one's result is waited for; one that has died is taken over from. A call whose
   * process dies before the result is recorded is run again, with the same `idempotencyKey`: so it is for a call that throws, which
   * rejects with what it threw. Rejects with `UNSUPPORTED` where the broker keeps no values and no stores are given,
   * `UNSERIALIZABLE` for a result that is no JSON, `INVALID_ARGUMENT`, and what the stores reject with.
   */
  effect<T>(name: string, key: string, effect: Effect<T>): Promise<T>;
  /**
   * Stores of the broker whose writes are committed when the handler has succeeded: in one transaction with the inbox, with what the
   * handler publishes, and with the acknowledgement. What is read through it must be unchanged then, or nothing is
   * written and the handler runs again soon, not counted. Throws `UNSUPPORTED` where the broker has no such transaction, and without exactly-once. On Kafka
   * it is there for what is published: reading and writing stores through it rejects with `UNSUPPORTED`.
   */
  readonly tx: Stores;
}

/** Handles one message. Return: handled (a request's reply). Throw: retry by policy, or as the thrown error says. */
export type Handler<T = unknown> = (message: Message<T>, context: HandlerContext) => unknown;

/** Wraps handlers. Calling `next` runs the rest and gives its result; calling it twice is an error. */
export type Middleware = (message: Message, context: HandlerContext, next: () => Promise<unknown>) => unknown;
