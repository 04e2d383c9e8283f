import type { Channel, Message } from "amqplib";
import type { Delivery, Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import type { Decoded } from "./codec.ts";
import type { Settled } from "./hands.ts";

/** Where a delivery came from. */
export interface Place {
  readonly home: { readonly queue: string; readonly isGone: boolean };
  readonly channel: Channel;
  readonly message: Message;
  /** Tells the server to forget it; where the channel is lost it comes again. */
  readonly ack: () => void;
}

/** One message of a queue, handed out to this process. */
export class RabbitDelivery implements Delivery {
  readonly envelope: Envelope;
  attempt: number;
  /** A queue has no places: the id of the message. */
  readonly position: string;
  /** As long as the channel stands the message is ours, up to the server's `consumer_timeout`. */
  readonly leaseMs = null;
  readonly failures: readonly Failure[];
  /** Epoch milliseconds: not handed out before. */
  dueAt: number;
  /** Where it came from. */
  readonly home: Place["home"];
  readonly #place: Place;
  #isOver = false;

  constructor(place: Place, decoded: Decoded) {
    const { envelope, attempts, failures, notBefore } = decoded;
    this.envelope = envelope;
    this.position = envelope.id;
    this.failures = failures;
    this.dueAt = Math.max(envelope.deliverAt ?? 0, notBefore);
    this.attempt = attempts + deliveryCount(place.message) + 1;
    this.home = place.home;
    this.#place = place;
  }

  /** The channel that it came over. */
  get channel(): Channel {
    return this.#place.channel;
  }

  get receipt(): unknown {
    return this;
  }

  /** The channel that it came over is lost, or it is settled: the server does not know it as ours. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What the server does not remember: that there were more attempts before, and that it was to come later. */
  isKnown({ attempts, dueAt }: Settled): void {
    this.attempt = Math.max(this.attempt, attempts + 1);
    this.dueAt = Math.max(this.dueAt, dueAt);
  }

  /** The channel was lost. */
  cutOff(): void {
    this.#isOver = true;
  }

  /** The queue is told to forget it. False: its channel was lost, and it comes again. */
  ack(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#place.ack();
    return true;
  }
}

/** How often the queue has given it out before: exactly for a quorum queue, and at least once for any other. */
function deliveryCount({ properties, fields }: Message): number {
  const { "x-delivery-count": count, "x-acquired-count": acquired } = (properties.headers ?? {}) as Counts;
  if (typeof count === "number") return count;
  // Since 4.3 a quorum queue counts apart how often somebody had it, and those who only gave it back are no attempt.
  return fields.redelivered && acquired === undefined ? 1 : 0;
}

interface Counts {
  readonly "x-delivery-count"?: unknown;
  readonly "x-acquired-count"?: unknown;
}
