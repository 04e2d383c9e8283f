import type { Delivery, Failure, Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import type { Note } from "./notes.ts";

/** A settlement that gives a delivery back. */
export type GivenBack = Extract<Settlement, { readonly kind: "nack" | "release" }>;

/** Who holds deliveries: a subscription, as a settlement knows it. */
export interface Holder {
  settled(count: number): void;
}

/** Where a delivery came from: a reader, as a delivery and its settlement know it. */
export interface Home {
  /** The name of the consumer on the server. */
  readonly consumer: string;
  readonly leaseMs: number;
  /** It was dropped: what is still settled is ignored. */
  readonly isGone: boolean;
  /** When the stream was made that places are of now. */
  readonly stream: string;
  /** It is out no more. */
  settled(delivery: NatsDelivery, isDone: boolean): void;
  /** It was given back, to wait inside the server. */
  parked(delayMs: number): void;
  /** One that is nowhere but here comes back. */
  returned(delivery: NatsDelivery, settlement: GivenBack): void;
}

/** Where the server says how it has delivered: the subject that an acknowledgement goes to (ADR-15). */
export interface AckPlace {
  readonly consumer: string;
  /** Which delivery of the message by this consumer it is, 1 first. */
  readonly count: number;
  /** The place in the stream. */
  readonly sequence: string;
  /** When it was stored, epoch milliseconds. */
  readonly storedAt: number;
}

const SHORT = 9;
const ACK = "$JS.ACK.";

/** Reads an acknowledgement's subject, with or without domain and account in front; undefined for any other. */
export function ackPlace(reply: string): AckPlace | undefined {
  if (!reply.startsWith(ACK)) return undefined;
  const tokens = reply.split(".");
  const at = tokens.length === SHORT ? 3 : 5;
  const [consumer, count, sequence, , nanos] = tokens.slice(at);
  if (consumer === undefined || sequence === undefined || nanos === undefined) return undefined;
  return { consumer, count: Number(count), sequence, storedAt: Math.floor(Number(nanos) / 1e6) };
}

/** One message of a stream, handed out to this process. */
export class NatsDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly home: Home;
  /** Where it is acknowledged; empty for a message that is nowhere but here. */
  readonly reply: string;
  readonly position: string;
  /** The server's own count of deliveries: it only grows. */
  readonly count: number;
  readonly leaseMs: number | null;
  readonly #stream: string;
  /** How many of the deliveries before were no attempts; below zero where the server has forgotten some. */
  released = 0;
  failures: readonly Failure[] = NO_FAILURES;
  hasNote = false;
  /** Which run of the server has delivered it: another one may know nothing of that. */
  serverId = "";
  /** Monotonic: until then the message is surely ours. */
  leaseUntil: number;
  /** Monotonic: until then the holder wants to keep it. */
  wantedUntil = 0;
  /** Null while it waits here, and again once it is settled. */
  holder: Holder | null = null;

  constructor(
    home: Home,
    place: {
      readonly envelope: Envelope;
      readonly reply: string;
      readonly sequence: string;
      readonly count: number;
    },
    leaseUntil: number,
  ) {
    this.home = home;
    this.envelope = place.envelope;
    this.reply = place.reply;
    this.position = place.sequence;
    this.count = place.count;
    this.leaseMs = place.reply === "" ? null : home.leaseMs;
    this.leaseUntil = leaseUntil;
    this.#stream = home.stream;
  }

  get attempt(): number {
    return Math.max(1, this.count - this.released);
  }

  /** Its stream was deleted: its place, and the subject that it is acknowledged at, are another message's. */
  get isStale(): boolean {
    return !this.isLive && this.#stream !== this.home.stream;
  }

  /** It is nowhere but here. */
  get isLive(): boolean {
    return this.reply === "";
  }

  get receipt(): unknown {
    return this;
  }

  /** Takes what was noted at an earlier delivery. A note of a consumer that is gone is of no interest. */
  take(note: Note | undefined): void {
    if (note === undefined || note.count >= this.count) return;
    this.released = note.released;
    this.failures = note.failures;
    this.hasNote = true;
  }

  /** There were more attempts before than the server remembers. */
  atLeast(attempts: number): void {
    if (this.attempt <= attempts) this.released = this.count - attempts - 1;
  }
}
