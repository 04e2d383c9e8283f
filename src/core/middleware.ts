import type { Message } from "./message.ts";

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
  /** Manual mode: handled. */
  ack(): void;
  /** Manual mode: give it back. `requeue: false` sends it to the dead letters. Without `delayMs` the retry policy decides. */
  nack(options?: { readonly delayMs?: number; readonly requeue?: boolean }): void;
}

/** Handles one message. Return: handled (a request's reply). Throw: retry by policy, or as the thrown error says. */
export type Handler<T = unknown> = (message: Message<T>, context: HandlerContext) => unknown;

/** Wraps handlers. Calling `next` runs the rest and gives its result; calling it twice is an error. */
export type Middleware = (message: Message, context: HandlerContext, next: () => Promise<unknown>) => unknown;
