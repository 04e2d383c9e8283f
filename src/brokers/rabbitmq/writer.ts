import type { ConfirmChannel, Message, Options } from "amqplib";
import { describeThrown } from "../../core/errors.ts";
import type { Later } from "../shared/timers.ts";
import { blockedError, CutOff, isMissing, notConnected } from "./errors.ts";
import { Lane } from "./lane.ts";
import type { Session } from "./session.ts";

/** One message for the server, and who is told of what became of it. */
export interface Letter {
  readonly exchange: string;
  readonly key: string;
  readonly body: Uint8Array;
  readonly properties: Options.Publish;
  /** `isUnrouted`: it was confirmed, and no queue was there for it; only known of letters that are mandatory. */
  readonly done: (error: unknown, isUnrouted: boolean) => void;
}

interface Outgoing extends Letter {
  readonly deadline: Later;
  isUnrouted: boolean;
  isOver: boolean;
}

/** More than this is not written before the server confirms. */
const MAX_IN_FLIGHT = 1000;
const MAX_IN_FLIGHT_BYTES = 16 * 1024 * 1024;

/**
 * Writes letters in order, without waiting for one before the next. Every one ends: confirmed, refused, cut off with its
 * channel, or given up when its time is over. What is cut off is never written again here.
 */
export class Writer {
  readonly #session: Session;
  readonly #lane: Lane;
  readonly #off: readonly (() => void)[];
  #waiting: Outgoing[] = [];
  #at = 0;
  readonly #inFlight = new Set<Outgoing>();
  #inFlightBytes = 0;
  /** What the server ended the channel with. */
  #refusal: unknown;
  /** Which one a returned message is, by its id. */
  readonly #byId = new Map<string, Outgoing>();

  constructor(session: Session) {
    this.#session = session;
    const { publishing } = session.links;
    this.#lane = new Lane(publishing, {
      made: (channel) => this.#listen(channel),
      stands: () => this.#pump(),
      lost: (cause) => this.#lost(cause),
    });
    this.#off = [publishing.onUnblocked(() => this.#pump()), publishing.onDown((cause) => this.#down(cause))];
  }

  /** Resolves when the first letter can be written. */
  async open(): Promise<void> {
    await this.#lane.ready();
  }

  send(letter: Letter): void {
    const { links, timers, settings } = this.#session;
    if (!links.publishing.isUp) {
      letter.done(notConnected(), false);
      return;
    }
    const outgoing: Outgoing = {
      ...letter,
      deadline: timers.after(settings.commandTimeoutMs, () => this.#expire(outgoing)),
      isUnrouted: false,
      isOver: false,
    };
    this.#waiting.push(outgoing);
    this.#pump();
  }

  async close(): Promise<void> {
    for (const off of this.#off) off();
    this.#down(undefined);
    this.#lost(new CutOff("the broker was closed"));
    await this.#lane.close();
  }

  #listen(channel: ConfirmChannel): void {
    this.#refusal = undefined;
    channel.on("error", (error) => (this.#refusal = error));
    channel.on("return", ({ properties }: Message) => {
      const outgoing = this.#byId.get(String(properties.messageId));
      if (outgoing !== undefined) outgoing.isUnrouted = true;
    });
  }

  #pump(): void {
    const channel = this.#lane.channel;
    const { publishing } = this.#session.links;
    if (channel === undefined || publishing.blockedBy !== undefined) return;
    while (this.#at < this.#waiting.length && this.#hasRoom) {
      const outgoing = this.#waiting[this.#at++] as Outgoing;
      if (!outgoing.isOver) this.#write(channel, outgoing);
    }
    if (this.#at === this.#waiting.length || this.#at > MAX_IN_FLIGHT) {
      this.#waiting = this.#waiting.slice(this.#at);
      this.#at = 0;
    }
  }

  get #hasRoom(): boolean {
    const { size } = this.#inFlight;
    return size < MAX_IN_FLIGHT && (this.#inFlightBytes < MAX_IN_FLIGHT_BYTES || size === 0);
  }

  #write(channel: ConfirmChannel, outgoing: Outgoing): void {
    const { exchange, key, body, properties } = outgoing;
    this.#inFlight.add(outgoing);
    this.#inFlightBytes += body.byteLength;
    if (properties.mandatory === true && properties.messageId !== undefined)
      this.#byId.set(properties.messageId, outgoing);
    try {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      channel.publish(exchange, key, bytes, properties, (error: unknown) => {
        // The same is called when the channel ends; a refusal too leaves open which of several queues have the message.
        this.#end(outgoing, error === null ? undefined : this.#inDoubt(outgoing, error));
      });
    } catch (error) {
      this.#end(outgoing, new CutOff("the channel was lost", { cause: error }));
    }
  }

  #lost(cause: unknown): void {
    for (const outgoing of this.#inFlight) this.#end(outgoing, this.#inDoubt(outgoing, cause));
  }

  /** The server ends the channel at a message for an exchange that is not there; any other may be stored. */
  #inDoubt({ exchange }: Outgoing, cause: unknown): unknown {
    const why = this.#refusal ?? cause;
    const said = describeThrown(why);
    return isMissing(why) && said.includes(`'${exchange}'`) ? why : new CutOff(said, { cause: why });
  }

  /** What was never written is not sent over a connection that comes later: whoever publishes decides. */
  #down(cause: unknown): void {
    const waiting = this.#waiting.slice(this.#at);
    this.#waiting = [];
    this.#at = 0;
    for (const outgoing of waiting) this.#end(outgoing, notConnected(cause));
  }

  #expire(outgoing: Outgoing): void {
    const { publishing } = this.#session.links;
    const { commandTimeoutMs } = this.#session.settings;
    if (this.#inFlight.has(outgoing))
      this.#end(outgoing, new CutOff(`RabbitMQ has confirmed nothing for ${commandTimeoutMs} ms`));
    else if (publishing.blockedBy !== undefined) this.#end(outgoing, blockedError(publishing.blockedBy));
    else this.#end(outgoing, notConnected());
  }

  #end(outgoing: Outgoing, error: unknown): void {
    if (outgoing.isOver) return;
    outgoing.isOver = true;
    outgoing.deadline.cancel();
    const { messageId } = outgoing.properties;
    if (messageId !== undefined && this.#byId.get(messageId) === outgoing) this.#byId.delete(messageId);
    if (this.#inFlight.delete(outgoing)) this.#inFlightBytes -= outgoing.body.byteLength;
    outgoing.done(error, outgoing.isUnrouted);
    if (this.#at < this.#waiting.length) this.#pump();
  }
}
