import type { ConfirmChannel, ConsumeMessage } from "amqplib";
import { randomBytes } from "node:crypto";
import type { Timers } from "../shared/timers.ts";

/** What a consumer needs of its broker. */
export interface ConsumerHost {
  readonly timers: Timers;
  /**
   * Leaves a consumer of a quorum queue room for one message. Resolves when everything has come that was on its way; rejects when
   * the channel is lost.
   */
  narrow(consumer: Consumer): Promise<void>;
  /** The server is to forget a message; all of one turn together. */
  ack(consumer: Consumer, message: ConsumeMessage): void;
  /** Ends a consumer of a quorum queue, before anything that is written after this. */
  end(consumer: Consumer): void;
}

interface Place {
  readonly queue: string;
  readonly isQuorum: boolean;
  readonly channel: ConfirmChannel;
  readonly prefetch: number;
}

/** A consumer that has brought nothing for so long has nothing on its way, it is taken. */
const STILL_MS = 20;
const MOST_LOOKS = 10;

/**
 * A consumer of the server, as long as it stands. What a quorum queue has sent to one that ends meanwhile, the server takes
 * back and counts as an attempt that nobody made: so it is ended when nothing more can be on its way.
 */
export class Consumer {
  readonly tag = `herald-${randomBytes(9).toString("hex")}`;
  readonly queue: string;
  readonly channel: ConfirmChannel;
  readonly prefetch: number;
  /** Monotonic; since when the server brings messages. */
  standsAt: number | undefined;
  readonly #isQuorum: boolean;
  readonly #host: ConsumerHost;
  /** What the server has brought and was not told to forget. */
  #unsettled = 0;
  /** What it has brought at all. */
  #brought = 0;
  /** While it ends: what the server will be told to forget. Every such word makes room for one more that it may send. */
  #kept: ConsumeMessage[] | undefined;

  constructor({ queue, isQuorum, channel, prefetch }: Place, host: ConsumerHost) {
    this.queue = queue;
    this.#isQuorum = isQuorum;
    this.channel = channel;
    this.prefetch = prefetch;
    this.#host = host;
  }

  /** The server has brought a message. */
  bring(): void {
    this.#brought++;
    this.#unsettled++;
  }

  /** The server is to forget a message. */
  ack(message: ConsumeMessage): void {
    if (this.#kept !== undefined) this.#kept.push(message);
    else {
      this.#unsettled--;
      this.#host.ack(this, message);
    }
  }

  /** Ends it; `ended` is called at that moment. Never rejects. */
  async stop(ended: () => void): Promise<void> {
    try {
      if (this.#isQuorum) await this.#stop();
      else await this.channel.cancel(this.tag);
    } catch {
      // The channel is lost, and with it the consumer.
    }
    this.#tell();
    ended();
  }

  async #stop(): Promise<void> {
    this.#kept = [];
    // Of a queue that has many it soon has all that it may bring; of any other nothing comes just now.
    for (let look = 0; look < MOST_LOOKS && this.#hasRoom; look++) if (await this.#isStill()) break;
    if (this.#hasRoom) await this.#host.narrow(this);
    // It has room for one, so that it brings nothing more once that or any other is here.
    if (this.#unsettled === 0) await this.#isStill();
    this.#host.end(this);
  }

  get #hasRoom(): boolean {
    return this.#unsettled < this.prefetch;
  }

  async #isStill(): Promise<boolean> {
    const brought = this.#brought;
    await this.#host.timers.pause(STILL_MS).over;
    return this.#brought === brought;
  }

  #tell(): void {
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    for (const message of kept) this.ack(message);
  }
}
