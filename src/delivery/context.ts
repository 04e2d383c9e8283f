import { AsyncLocalStorage } from "node:async_hooks";
import type { Delivery } from "../core/delivery.ts";
import type { Effect, EffectLedger } from "../core/effect.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Outcome } from "../core/outcome.ts";
import type { HandlerContext, NackOptions } from "../core/middleware.ts";
import type { Stores, StoresTransaction } from "../core/store.ts";
import { checkAmounts, type Carried } from "./budget.ts";

/** What a handler said through its context in manual mode. */
export type Decision =
  | { readonly kind: "ack" }
  | {
      readonly kind: "nack";
      readonly delayMs: number | undefined;
      readonly requeue: boolean;
      readonly reason: string | undefined;
    };

/** Where an exactly-once handler's publishes wait until it has succeeded. */
export interface Outbox {
  /** Whose effects these are: part of the ids that they get. */
  readonly scope: string;
  /** In the order of the publishes. A promise: its codec had to ask somebody first; undefined: it could not be encoded. */
  readonly envelopes: (Envelope | Promise<Envelope | undefined>)[];
  /** True once the handler has succeeded: what is published later must not be left here. */
  sealed: boolean;
}

/** What a run may spend. */
export interface RunSpending {
  readonly carried: Carried;
  spend(amounts: Readonly<Record<string, number>>): Promise<Readonly<Record<string, number>>>;
}

/** What a handler writes with through its context. */
export interface RunTools {
  /** Gives the record of the agent's calls to the outside. Throws `UNSUPPORTED` where there is none. */
  readonly ledger: () => EffectLedger;
  /** Begins what a handler writes through its context. Throws `UNSUPPORTED` where it cannot be committed with the message. */
  readonly begin: () => StoresTransaction;
}

/** One run of a handler: the context it sees, and what the pipeline keeps beside it. */
export class DeliveryContext implements HandlerContext {
  readonly delivery: Delivery;
  readonly agentId: string;
  readonly group: string | null;
  /** Set by the decode stage. */
  message: Message | undefined;
  decision: Decision | undefined;
  /** Set where the handler was not run, or not to its end. */
  outcome: Outcome | undefined;
  outbox: Outbox | undefined;
  /** The inbox has not answered yet whose it is. */
  isClaiming = false;
  /** Set where the conversation has a budget. */
  spending: RunSpending | undefined;
  /** Why the run was cut short: its time is up, or the service stops. */
  abortedBy: HeraldError | undefined;
  /** Monotonic milliseconds when its time is up. */
  deadlineAt = Infinity;
  /** What the handler may write with. Undefined: this run is of no service. */
  tools: RunTools | undefined;
  /** What the handler writes through its context. */
  transaction: StoresTransaction | undefined;
  /** Where it stands among the running ones; below 0 when it does not run. */
  slot = -1;
  /** Called when its handler has succeeded and only its effects are left to be made. */
  onHandled: ((run: DeliveryContext) => void) | undefined;
  #controller: AbortController | undefined;
  #onDecision: (() => void) | undefined;

  /** Whose run it is: told apart by identity. */
  readonly consumer: object | undefined;

  constructor(delivery: Delivery, agentId: string, group: string | null, consumer?: object) {
    this.delivery = delivery;
    this.agentId = agentId;
    this.group = group;
    this.consumer = consumer;
  }

  get envelope(): Envelope {
    return this.delivery.envelope;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  get redelivered(): boolean {
    return this.delivery.attempt > 1;
  }

  get body(): Uint8Array {
    // A copy: a broker in this process gives the same bytes to every group, and a retry or a dead letter needs them again.
    return new Uint8Array(this.delivery.envelope.body);
  }

  get position(): string {
    return this.delivery.position;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.abortedBy !== undefined) this.#controller.abort(this.abortedBy);
    }
    return this.#controller.signal;
  }

  abort(reason: HeraldError): void {
    this.abortedBy = reason;
    this.#controller?.abort(reason);
  }

  async spend(amounts: Readonly<Record<string, number>>): Promise<Readonly<Record<string, number>>> {
    checkAmounts(amounts);
    return this.spending === undefined ? {} : this.spending.spend(amounts);
  }

  ack(): void {
    this.#decide({ kind: "ack" });
  }

  nack({ delayMs, requeue, reason }: NackOptions = {}): void {
    this.#decide({ kind: "nack", delayMs, requeue: requeue !== false, reason });
  }

  async effect<T>(name: string, key: string, effect: Effect<T>): Promise<T> {
    if (this.abortedBy !== undefined) throw this.abortedBy;
    return (this.tools ?? ofNoService()).ledger().run(name, key, effect, this.signal);
  }

  get tx(): Stores {
    return (this.transaction ??= (this.tools ?? ofNoService()).begin());
  }

  /** Resolves once the handler has acked or nacked. */
  decided(): Promise<void> {
    if (this.decision !== undefined) return Promise.resolve();
    return new Promise((resolve) => (this.#onDecision = resolve));
  }

  #decide(decision: Decision): void {
    // The first word counts; a second is ignored, as a second settlement is.
    if (this.decision !== undefined) return;
    this.decision = decision;
    this.#onDecision?.();
  }
}

function ofNoService(): never {
  throw new HeraldError(
    "UNSUPPORTED",
    "Effects and transactions are refused here: this context belongs to no service.",
  );
}

/** The delivery whose handler runs now, in this asynchronous flow. What is published in it carries its conversation. */
export const currentDelivery = new AsyncLocalStorage<DeliveryContext>();
