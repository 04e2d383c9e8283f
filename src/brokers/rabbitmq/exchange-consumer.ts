import type { Channel, ConsumeMessage } from "amqplib";
import { emit } from "../../core/events.ts";
import { rabbitError } from "./errors.ts";
import type { ExchangeHandler } from "./exchange.ts";
import { exchangeMessage } from "./exchange-message.ts";
import { Lane } from "./lane.ts";
import type { Link } from "./link.ts";

/** What a consumer reads, and what it needs. */
export interface ExchangeConsumerOptions {
  readonly queue: string;
  readonly handler: ExchangeHandler;
  /** Makes everything again that was asserted and bound. */
  readonly restore: () => Promise<void>;
}

const PREFETCH = 100;

/**
 * One consumer, on a channel of its own, so that one whose queue is gone takes nothing from the others. It stands again after every
 * loss of its channel, its connection or its queue.
 */
export class ExchangeConsumer {
  readonly #lane: Lane;
  readonly #options: ExchangeConsumerOptions;
  #hasStood = false;

  constructor(link: Link, options: ExchangeConsumerOptions) {
    this.#options = options;
    this.#lane = new Lane(link, { made: (channel) => this.#begin(channel) });
  }

  /** Resolves when it stands for the first time; rejects, and is closed, when the queue is not there. */
  async open(): Promise<void> {
    try {
      await this.#lane.ready();
      this.#hasStood = true;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#lane.close();
  }

  async #begin(channel: Channel): Promise<void> {
    const { queue, restore } = this.#options;
    try {
      if (this.#hasStood) await restore();
      await channel.prefetch(PREFETCH);
      await channel.consume(queue, (message) => this.#came(channel, message));
    } catch (error) {
      if (this.#hasStood)
        emit("fault", () => ({ agent: "", error: rabbitError(error), where: `rabbitmq consume ${queue}` }));
      throw error;
    }
  }

  #came(channel: Channel, message: ConsumeMessage | null): void {
    // The server has ended the consumer: its queue is gone. Another channel makes it again.
    if (message === null) channel.close().catch(() => {});
    else void handle(channel, message, this.#options.handler);
  }
}

async function handle(channel: Channel, message: ConsumeMessage, handler: ExchangeHandler): Promise<void> {
  try {
    try {
      await handler(exchangeMessage(message));
      channel.ack(message);
    } catch {
      channel.nack(message, false, !message.fields.redelivered);
    }
  } catch {
    // The channel is lost, and the message comes again.
  }
}
