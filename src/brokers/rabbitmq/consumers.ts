import type { Channel, ConfirmChannel, ConsumeMessage } from "amqplib";
import type { Timers } from "../shared/timers.ts";
import { SharedLook } from "../../core/shared-look.ts";
import { Acks } from "./acks.ts";
import { notConnected } from "./errors.ts";
import { KNOWN_EXCHANGE } from "./link.ts";
import type { Consumer } from "./consumer.ts";
import { Lane } from "./lane.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";

/** How the client finds who a message is for, and how it writes what is not to wait for the answers to what was asked before. */
interface Dispatch {
  sendImmediately(method: number, fields: object): void;
  registerConsumer(tag: string, listener: (message: ConsumeMessage | null) => void): void;
  unregisterConsumer(tag: string): void;
}

const BASIC_CONSUME = 0x003c_0014;
const BASIC_CANCEL = 0x003c_001e;

/** What was on its way when a consumer was ended comes after that. */
const LATE_MS = 5000;

function immediately(channel: ConfirmChannel, method: number, fields: object): void {
  (channel as unknown as Dispatch).sendImmediately(method, fields);
}

function keepListeners(channel: ConfirmChannel, timers: Timers): void {
  const dispatch = channel as unknown as Dispatch;
  const forget = dispatch.unregisterConsumer.bind(channel);
  dispatch.unregisterConsumer = (tag) => void timers.after(LATE_MS, () => forget(tag));
}

/** What consumers need of their broker. */
export interface ConsumersHost {
  /** Makes the queues again: called for every channel but the first, before it is used. */
  readonly restore: (readers: readonly Reader[]) => Promise<void>;
  /** The channel was lost. */
  readonly lost: () => void;
}

/** Every consumer of a broker, on one channel: ten thousand subscriptions are not ten thousand channels. */
export class Consumers {
  readonly #lane: Lane;
  readonly #readers = new Set<Reader>();
  /** What the channel was last told, which holds for the consumers that come after. */
  #prefetch = 0;
  /** Consumers begun so far. */
  #begun = 0;
  #isFirst = true;
  readonly #timers: Timers;
  readonly #acks = new WeakMap<Channel, Acks>();
  readonly #looks = new WeakMap<Channel, SharedLook>();

  constructor(session: Session, { restore, lost }: ConsumersHost) {
    this.#timers = session.timers;
    this.#lane = new Lane(session.links.consuming, {
      made: async (channel) => {
        this.#prefetch = 0;
        keepListeners(channel, session.timers);
        if (!this.#isFirst) await restore([...this.#readers]);
        this.#isFirst = false;
      },
      stands: () => {
        for (const reader of this.#readers) reader.resume();
      },
      lost: () => {
        for (const reader of this.#readers) reader.cutOff();
        lost();
      },
    });
  }

  get channel(): ConfirmChannel | undefined {
    return this.#lane.channel;
  }

  async open(): Promise<void> {
    await this.#lane.ready();
  }

  add(reader: Reader): void {
    this.#readers.add(reader);
  }

  remove(reader: Reader): void {
    this.#readers.delete(reader);
  }

  async consume(
    queue: string,
    { tag, prefetch }: { readonly tag: string; readonly prefetch: number },
    listener: (message: ConsumeMessage | null) => void,
  ): Promise<void> {
    const { channel } = this;
    if (channel === undefined) throw notConnected();
    const acks = this.#acksOf(channel);
    const tracked = (message: ConsumeMessage | null): void => {
      if (message !== null) acks.brought(message.fields.deliveryTag);
      listener(message);
    };
    // A queue may bring messages before it says that it does: the client throws away what nobody has registered for.
    (channel as unknown as Dispatch).registerConsumer(tag, tracked);
    const calls: Promise<unknown>[] = [];
    this.#begun++;
    // Requests of one channel are carried out in the order that they are made.
    if (prefetch !== this.#prefetch) calls.push(channel.prefetch(prefetch));
    this.#prefetch = prefetch;
    calls.push(channel.consume(queue, tracked, { consumerTag: tag }));
    await Promise.all(calls);
  }

  /**
   * Begins a consumer of a quorum queue anew under its tag, with room for one: what was on its way to it still comes, and so long as one of
   * its messages is unsettled nothing more does.
   */
  async narrow({ queue, tag, channel }: Consumer): Promise<void> {
    let begun: number;
    do {
      begun = this.#begun;
      this.#prefetch = 1;
      await channel.prefetch(1);
      // What has begun meanwhile was told another number.
    } while (begun !== this.#begun);
    // In one go, so that nothing comes to a tag that is not there: without waiting for answers, as the client would.
    this.#cancel(channel, tag);
    const fields = { ticket: 0, queue, consumerTag: tag, noLocal: false, noAck: false, exclusive: false };
    immediately(channel, BASIC_CONSUME, { ...fields, nowait: true, arguments: {} });
    await this.carriedOut(channel);
    // The server may have sent something until it had carried that out, and answers what it is asked now after that.
    await this.carriedOut(channel);
  }

  /** The server is to forget a message. */
  ack({ channel }: Consumer, { fields: { deliveryTag } }: ConsumeMessage): void {
    this.#acksOf(channel).ack(deliveryTag);
  }

  #acksOf(channel: Channel): Acks {
    let acks = this.#acks.get(channel);
    if (acks === undefined) this.#acks.set(channel, (acks = new Acks(channel)));
    return acks;
  }

  /** Ends a consumer of a quorum queue; nobody waits for an answer. */
  end({ tag, channel }: Consumer): void {
    this.#cancel(channel, tag);
    this.#timers.after(LATE_MS, () => (channel as unknown as Dispatch).unregisterConsumer(tag));
  }

  #cancel(channel: ConfirmChannel, consumerTag: string): void {
    this.#acksOf(channel).flush();
    immediately(channel, BASIC_CANCEL, { consumerTag, nowait: true });
  }

  /** Resolves when the server has carried out what it was told over the channel before; rejects when the channel is lost. */
  carriedOut(channel: Channel): Promise<void> {
    this.#acksOf(channel).flush();
    let look = this.#looks.get(channel);
    if (look === undefined) {
      look = new SharedLook(async () => void (await channel.checkExchange(KNOWN_EXCHANGE)));
      this.#looks.set(channel, look);
    }
    return look.look();
  }

  async close(): Promise<void> {
    await this.#lane.close();
  }
}
