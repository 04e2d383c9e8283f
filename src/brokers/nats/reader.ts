import type { Envelope } from "../../core/envelope.ts";
import { withFailure } from "../shared/failures.ts";
import type { Later } from "../shared/timers.ts";
import { Asking, type Asked } from "./asking.ts";
import type { Incoming } from "./client.ts";
import { NatsDelivery, type AckPlace, type GivenBack, type Holder, type Home } from "./delivery.ts";
import { Expected } from "./expected.ts";
import { Intake, type IntakeHost } from "./intake.ts";
import { Recovery } from "./recovery.ts";

/** A subscription, as what it reads from knows it. */
export interface Member extends Holder {
  /** How many deliveries it would take now; 0 while it does not wait. */
  readonly room: number;
  /** Monotonic; when it has waited for long enough. -Infinity: it does not wait. */
  readonly endsAt: number;
  give(deliveries: readonly NatsDelivery[]): void;
}

/** What a reader needs of its broker. */
export interface ReaderHost extends IntakeHost {
  readonly isUp: boolean;
  /** Asks the server for messages; false when that could not be written. */
  pull(reader: Reader, asked: Asked): boolean;
  /** The consumer is not there, or not known to be: it is looked after, and then {@link Reader.stands} is called. */
  repair(reader: Reader): void;
  /** What must be found out before a message is handed out; undefined: nothing. False: it is not for this reader. */
  sift(delivery: NatsDelivery, reader: Reader): Promise<boolean> | undefined;
  /** Their lease ended before anybody asked. */
  missed(deliveries: readonly NatsDelivery[]): void;
  /** Nobody reads here any more, and nothing is out. */
  idle(reader: Reader): void;
}

/** What came while nobody asked goes back after this long, so that others of the group get it. */
const KEEP_MS = 200;
/** What of channels that are not stored may wait in memory. */
const MAX_LIVE = 10_000;
const MAX_PARKED = 100_000;

// Status codes of JetStream to a request for messages (ADR-13).
const CONFLICT = 409;
const NOBODY = 503;
const HEARTBEAT = 100;
/** A request has ended as it should: there is nothing more, or its time is over. */
const ENDS = new Set([404, 408]);

/** One consumer of the server, as this process reads it: of one group under one pattern, or of one broadcast subscription. */
export class Reader implements Home {
  readonly pattern: string;
  readonly group: string | null;
  readonly consumer: string;
  /** False: nothing that the pattern covers is stored, and there is no consumer. */
  readonly isStored: boolean;
  readonly expected = new Expected();
  readonly recovery = new Recovery();
  readonly members = new Set<Member>();
  /** The server's word on how long a delivery is ours. */
  leaseMs = 0;
  /** The place of its record among those of its group: whoever was first, reads. */
  record: number | undefined;
  /** When the stream was made that its places are of. */
  stream = "";
  /** Its consumer is to begin at the beginning of another stream. */
  isMoved = false;
  /** Messages that were not stored, and for which there was no room. */
  dropped = 0;
  isGone = false;
  /** The consumer stands, as far as is known. */
  #stands = false;
  readonly #host: ReaderHost;
  readonly #asking: Asking;
  readonly #intake: Intake;
  readonly #waiting = new Set<Member>();
  #buffer: NatsDelivery[] = [];
  #unsettled = 0;
  /** What this process gave back to wait inside the server: until when. */
  #parked: number[] = [];
  #keeping: Later | undefined;
  #serving = false;
  #recovering = 0;

  constructor(
    names: { readonly pattern: string; readonly group: string | null; readonly consumer: string },
    host: ReaderHost,
    isStored = true,
  ) {
    this.pattern = names.pattern;
    this.group = names.group;
    this.consumer = names.consumer;
    this.isStored = isStored;
    this.#host = host;
    this.#intake = new Intake(
      {
        home: this,
        pattern: names.pattern,
        recovery: this.recovery,
        sift: (delivery) => host.sift(delivery, this),
        push: (delivery) => this.#push(delivery),
        over: () => this.#over(),
      },
      host,
    );
    this.#asking = new Asking({
      timers: host.timers,
      pull: (asked) => host.pull(this, asked),
      again: () => this.ask(),
    });
  }

  /** Is a request for messages out? */
  get isAsking(): boolean {
    return this.#asking.isOut;
  }

  /** Which request is out, or comes next. */
  get asked(): number {
    return this.#asking.number;
  }

  /** False: its consumer is missing, or about to be made again, and what is expected of it must not be taken from what is there. */
  get isStanding(): boolean {
    return this.#stands;
  }

  get isWaitedFor(): boolean {
    return this.#waiting.size > 0;
  }

  /** How many messages this process has given back that still wait for their time. */
  get parkedCount(): number {
    const now = this.#host.clock.monotonic();
    this.#parked = this.#parked.filter((until) => until > now);
    return this.#parked.length;
  }

  wait(member: Member): void {
    this.#waiting.add(member);
    this.#keeping?.cancel();
    this.#keeping = undefined;
    this.#serve();
    this.ask();
    if (!this.isAsking && (!this.isStored || this.isGone || !this.#host.isUp)) this.#answer();
  }

  stopWaiting(member: Member): void {
    this.#waiting.delete(member);
    this.#keep();
  }

  /** The consumer is there. */
  stands(): void {
    this.#stands = true;
    this.ask();
  }

  /** The way to the consumer, or the consumer, is in doubt: a request that is out is worth nothing. */
  doubt(isMissing: boolean): void {
    this.#asking.forget();
    if (isMissing) this.#stands = false;
    this.ask();
  }

  /** The stream was deleted, and is another one now. */
  move(stream: string): void {
    this.expected.abandon();
    this.recovery.clear();
    this.stream = stream;
    this.isMoved = true;
    this.doubt(true);
  }

  /** Nothing is asked for until `recovered`: what comes again must be known for it. */
  async recover(recovered: Promise<void>): Promise<void> {
    this.#recovering++;
    try {
      await recovered;
    } finally {
      this.#recovering--;
      this.ask();
    }
  }

  /** Nothing more comes. */
  drop(): void {
    this.isGone = true;
    this.#asking.forget();
    this.#buffer = [];
    this.#answer();
  }

  /** Asks for what those that wait have room for, unless that is on its way. */
  ask(): void {
    if (this.isAsking || this.isGone || !this.isStored || !this.#host.isUp) return;
    let batch = -this.#buffer.length - this.#intake.sifting;
    let endsAt = -Infinity;
    for (const { room, endsAt: until } of this.#waiting) {
      batch += Math.max(0, room);
      if (room > 0) endsAt = Math.max(endsAt, until);
    }
    if (batch <= 0) return;
    if (!this.#stands) this.#host.repair(this);
    else if (this.#recovering === 0) this.#asking.ask(batch, endsAt - this.#host.clock.monotonic());
  }

  /** A sign of the server that a request has ended. */
  ended(number: number, code: number, description: string): void {
    if (code === HEARTBEAT) return;
    const isGone = code === NOBODY || (code === CONFLICT && /deleted/i.test(description));
    const isOurs = this.#asking.ended(number, !ENDS.has(code));
    if (isGone) this.doubt(true);
    else if (isOurs) {
      this.#serve();
      if (this.#intake.sifting === 0) this.#answer();
      this.#over();
    }
  }

  /** A message has come. */
  arrived(message: Incoming, place: AckPlace): void {
    this.#asking.brought();
    this.#intake.take(message, place);
  }

  settled({ position }: NatsDelivery, isDone: boolean): void {
    this.#unsettled--;
    this.recovery.settled(position, isDone, this.#host.clock.monotonic());
    this.ask();
    this.#checkIdle();
  }

  parked(delayMs: number): void {
    if (this.#parked.length < MAX_PARKED) this.#parked.push(this.#host.clock.monotonic() + delayMs);
  }

  /** A message that is not stored. There is no end to how many come while nobody asks, so there is one here. */
  hear(envelope: Envelope): void {
    if (this.#buffer.length >= MAX_LIVE) this.dropped++;
    else this.#push(new NatsDelivery(this, { envelope, reply: "", sequence: "", count: 1 }, Infinity));
  }

  /** A message that is not stored comes back: it waits here. */
  returned({ envelope, count, failures }: NatsDelivery, settlement: GivenBack): void {
    const isNack = settlement.kind === "nack";
    const again = { envelope, reply: "", sequence: "", count: count + (isNack ? 1 : 0) };
    const delivery = new NatsDelivery(this, again, Infinity);
    delivery.failures = withFailure(failures, isNack ? settlement.failure : undefined);
    if (settlement.delayMs > 0) this.#host.timers.after(settlement.delayMs, () => this.#push(delivery));
    else this.#push(delivery);
  }

  /** Gives back what nobody has taken. */
  async giveBack(): Promise<void> {
    const deliveries = this.#buffer.filter(({ isLive }) => !isLive);
    this.#buffer = this.#buffer.filter(({ isLive }) => isLive);
    this.#keeping?.cancel();
    this.#keeping = undefined;
    // Where there is no connection they come back when their lease ends.
    if (deliveries.length > 0 && !this.isGone && this.#host.isUp) await this.#host.release(deliveries);
    this.#checkIdle();
  }

  #push(delivery: NatsDelivery): void {
    if (this.isGone) return;
    this.#buffer.push(delivery);
    if (this.#serving) return;
    this.#serving = true;
    // Everything that came together is handed out together.
    queueMicrotask(() => {
      this.#serving = false;
      this.#serve();
      this.#over();
    });
  }

  /** Whoever waits longest is served first. */
  #serve(): void {
    const now = this.#host.clock.monotonic();
    for (const member of this.#waiting) {
      if (this.#buffer.length === 0) return;
      const { room } = member;
      if (room <= 0) continue;
      const taken = this.#take(room, now);
      if (taken.length === 0) return;
      for (const delivery of taken) {
        delivery.holder = member;
        if (!delivery.isLive) this.recovery.handedOut(delivery.position, delivery.attempt);
      }
      this.#unsettled += taken.length;
      member.give(taken);
    }
  }

  #take(count: number, now: number): NatsDelivery[] {
    const isLate = ({ leaseUntil }: NatsDelivery): boolean => leaseUntil <= now;
    const late = this.#buffer.filter(isLate);
    if (late.length > 0) {
      this.#buffer = this.#buffer.filter((delivery) => !isLate(delivery));
      this.#host.missed(late);
    }
    return this.#buffer.splice(0, count);
  }

  /** There is nothing now for those that do not wait. */
  #answer(): void {
    for (const member of this.#waiting) if (member.endsAt === -Infinity) member.give([]);
  }

  /** A request has ended, or what it brought was dealt with. */
  #over(): void {
    this.ask();
    this.#keep();
    this.#checkIdle();
  }

  #keep(): void {
    if (this.#buffer.length === 0 || this.#keeping !== undefined || this.#waiting.size > 0) return;
    const keepMs = this.members.size > 0 ? KEEP_MS : 0;
    this.#keeping = this.#host.timers.after(keepMs, () => void this.giveBack());
  }

  #checkIdle(): void {
    if (this.members.size > 0 || this.isAsking || this.#unsettled > 0) return;
    if (this.#intake.isEmpty && this.#buffer.length === 0) this.#host.idle(this);
  }
}
