/** A message in the words of the messaging layer of `@jadugar/core`: the body is `payload` as JSON. */
export interface ExchangeMessage {
  readonly id: string;
  /** The routing key. */
  readonly topic: string;
  readonly payload: unknown;
  readonly metadata: {
    readonly correlationId?: string;
    readonly replyTo?: string;
    /** As AMQP has it: higher first, where the queue has priorities. */
    readonly priority?: number;
    /** Milliseconds. */
    readonly expiration?: number;
    readonly headers?: Readonly<Record<string, string>>;
  };
  /** Epoch milliseconds. */
  readonly timestamp: number;
}

/** What is published: a whole message, or what has at least a payload. */
export type ExchangeMessageInit = Partial<ExchangeMessage> & Pick<ExchangeMessage, "payload">;

/** Handles one message; it is acknowledged when this has resolved. */
export type ExchangeHandler = (message: ExchangeMessage) => unknown;
