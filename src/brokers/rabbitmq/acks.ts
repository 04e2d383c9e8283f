import type { Channel, Message } from "amqplib";

/**
 * What is acknowledged over one channel: what ends together, with nothing before it that has not ended, is one word to the server
 * (`basic.ack` with `multiple`, AMQP 0-9-1).
 */
export class Acks {
  readonly #channel: Channel;
  /** Numbers that the server has given out and was not told to forget, in their order. */
  readonly #out = new Set<number>();
  #last = 0;
  #ended: number[] = [];
  readonly #flushSoon = (): void => this.flush();

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** The server has brought this number. One that it has brought past us stays out: nobody may say that it has ended. */
  brought(tag: number): void {
    for (let missed = this.#last + 1; missed <= tag; missed++) this.#out.add(missed);
    this.#last = Math.max(this.#last, tag);
  }

  /** The server is told to forget it, when this turn of synchronous code has ended. */
  ack(tag: number): void {
    this.#out.delete(tag);
    if (this.#ended.push(tag) === 1) queueMicrotask(this.#flushSoon);
  }

  /** Tells the server at once. Where the channel is lost everything comes again. */
  flush(): void {
    const ended = this.#ended;
    if (ended.length === 0) return;
    this.#ended = [];
    const [first = Infinity] = this.#out;
    let upTo = 0;
    for (const tag of ended) if (tag < first && tag > upTo) upTo = tag;
    try {
      if (upTo > 0) this.#channel.ack(numbered(upTo), true);
      for (const tag of ended) if (tag > first) this.#channel.ack(numbered(tag));
    } catch {
      // Whoever waits for the server to carry it out is told.
    }
  }
}

/** All that the client looks at of a message. */
function numbered(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as unknown as Message;
}
