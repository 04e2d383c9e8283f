import type { Clock } from "../../core/clock.ts";
import { matchPattern } from "../../core/pattern.ts";
import type { Timers } from "../shared/timers.ts";
import type { Incoming } from "./client.ts";
import { envelopeFrom } from "./codec.ts";
import { NatsDelivery, type AckPlace, type Home } from "./delivery.ts";
import { isCoarse } from "./names.ts";
import type { Recovery } from "./recovery.ts";

/** What taking messages in needs of the broker. */
export interface IntakeHost {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Which run of the server what comes now comes from. */
  readonly serverId: string;
  /** The channel of a subject. */
  channel(subject: string): string;
  /** Until when what comes now is ours. */
  leaseUntil(leaseMs: number): number;
  release(deliveries: readonly NatsDelivery[], delayMs?: number): Promise<void>;
  /** Ends messages that nobody here is to get. */
  drop(replies: readonly string[]): void;
}

/** Whose messages they are. */
export interface IntakeOwner {
  readonly home: Home;
  readonly pattern: string;
  readonly recovery: Recovery;
  /** What must be found out before a message is handed out; undefined: nothing. False: it is not for this reader. */
  sift(delivery: NatsDelivery): Promise<boolean> | undefined;
  /** It may be handed out. */
  push(delivery: NatsDelivery): void;
  /** A message was dealt with that is not to be handed out, or not yet. */
  over(): void;
}

/** What is due within this time waits here; what is due later goes back and waits in the server. */
const HOLD_MS = 250;
/** The clock here may run so far ahead of the one that the time was taken from: nothing is ever early. */
const SKEW_MS = 10;

/** What becomes of a message before it may be handed out: it is for somebody else, or not yet known, or not yet due. */
export class Intake {
  readonly #owner: IntakeOwner;
  readonly #host: IntakeHost;
  readonly #isCoarse: boolean;
  #sifting = 0;
  #early = 0;

  constructor(owner: IntakeOwner, host: IntakeHost) {
    this.#owner = owner;
    this.#host = host;
    this.#isCoarse = isCoarse(owner.pattern);
  }

  /** Messages that wait until something is known of them: they will be handed out soon. */
  get sifting(): number {
    return this.#sifting;
  }

  /** Nothing is in between. */
  get isEmpty(): boolean {
    return this.#sifting === 0 && this.#early === 0;
  }

  take(message: Incoming, place: AckPlace): void {
    const { home, pattern, recovery } = this.#owner;
    const channel = this.#host.channel(message.subject);
    const isNotOurs = home.isGone || (this.#isCoarse && !matchPattern(pattern, channel));
    if (isNotOurs || recovery.isDone(place.sequence)) {
      this.#host.drop([message.reply]);
      this.#owner.over();
      return;
    }
    // A message that another tool wrote has no id: its place is the same for every group, and at every delivery.
    const id = `nats-${place.sequence}`;
    const envelope = envelopeFrom(message, { channel, id, storedAt: place.storedAt });
    const leaseUntil = this.#host.leaseUntil(home.leaseMs);
    const delivery = new NatsDelivery(home, { ...place, envelope, reply: message.reply }, leaseUntil);
    delivery.serverId = this.#host.serverId;
    const sifting = this.#owner.sift(delivery);
    if (sifting === undefined) this.#timely(delivery);
    else void this.#sift(delivery, sifting);
  }

  async #sift(delivery: NatsDelivery, sifting: Promise<boolean>): Promise<void> {
    this.#sifting++;
    let isOurs: boolean | undefined;
    try {
      isOurs = await sifting;
    } catch {
      // Nobody could be asked: it comes again when its lease ends.
    }
    this.#sifting--;
    if (isOurs === true) this.#timely(delivery);
    else if (isOurs === false) this.#host.drop([delivery.reply]);
    this.#owner.over();
  }

  /** What came before its time waits: here for a moment, in the server for longer. */
  #timely(delivery: NatsDelivery): void {
    const { home, recovery } = this.#owner;
    delivery.atLeast(recovery.attempts(delivery.position));
    const { deliverAt } = delivery.envelope;
    const earlyMs = deliverAt === undefined ? 0 : deliverAt + SKEW_MS - this.#host.clock.now();
    if (!(earlyMs > 0)) {
      this.#owner.push(delivery);
      return;
    }
    this.#early++;
    if (earlyMs > Math.min(HOLD_MS, home.leaseMs / 4)) {
      void this.#host.release([delivery], earlyMs).then(() => {
        this.#early--;
        this.#owner.over();
      });
    } else {
      this.#host.timers.after(earlyMs, () => {
        this.#early--;
        this.#timely(delivery);
      });
    }
    this.#owner.over();
  }
}
