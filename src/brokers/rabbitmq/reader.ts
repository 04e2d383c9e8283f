import type { ConfirmChannel, ConsumeMessage } from "amqplib";
import type { Clock } from "../../core/clock.ts";
import { matchPattern } from "../../core/pattern.ts";
import type { Later } from "../shared/timers.ts";
import { decode } from "./codec.ts";
import { Consumer, type ConsumerHost } from "./consumer.ts";
import { RabbitDelivery } from "./delivery.ts";
import type { Hands, Settled } from "./hands.ts";
import { isCoarse } from "./names.ts";
import type { Return } from "./returns.ts";
import { rungFor } from "./topology.ts";

/** A subscription, as what it reads from knows it. */
export interface Member {
  readonly prefetch: number;
  /** How many deliveries it would take now; 0 while it does not wait. */
  readonly room: number;
  /** It wants what there is, and does not wait for more. */
  readonly isNow: boolean;
  give(deliveries: readonly RabbitDelivery[]): void;
}

/** What a reader needs of its broker. */
export interface ReaderHost extends ConsumerHost {
  readonly clock: Clock;
  /** The channel that consumers are on; undefined while there is none. */
  readonly channel: ConfirmChannel | undefined;
  /** Consumes, with so many unacknowledged at most. */
  consume(
    queue: string,
    options: { readonly tag: string; readonly prefetch: number },
    listener: (message: ConsumeMessage | null) => void,
  ): Promise<void>;
  give(delivery: RabbitDelivery, how: Return): Promise<unknown>;
  readonly hands: Hands;
  /** Is a message of this channel for another pattern of the group? */
  isRivals(reader: Reader, channel: string): boolean;
  /** The server has ended a consumer: its queue is gone. Resolves when the queue is there again. */
  repair(reader: Reader): Promise<void>;
  /** Nobody reads here any more, and nothing is out. */
  idle(reader: Reader): void;
}

/** What came while nobody asked goes back after this long, so that others of the group get it. */
const KEEP_MS = 200;
/** A queue that has brought nothing for so long after somebody began to consume has nothing. */
const QUIET_MS = 50;
/** What is due within this time waits here, if not too many do. */
const HOLD_MS = 250;
const MOST_HELD = 1000;
const LEAST_PREFETCH = 16;
/** The largest that `basic.qos` can say. */
const MOST_PREFETCH = 65_535;

/** One queue, as this process reads it: of a group under a pattern, or of one broadcast subscription. */
export class Reader {
  readonly pattern: string;
  readonly group: string | null;
  readonly queue: string;
  readonly members = new Set<Member>();
  /** It was dropped: nothing comes any more. */
  isGone = false;
  readonly #host: ReaderHost;
  readonly #isCoarse: boolean;
  readonly #waiting = new Set<Member>();
  readonly #consumers = new Set<Consumer>();
  #buffer: RabbitDelivery[] = [];
  readonly #out = new Set<RabbitDelivery>();
  readonly #held = new Map<RabbitDelivery, Later>();
  #keeping: Later | undefined;
  #quiet: Later | undefined;
  #isServing = false;
  #ending: Promise<void> | undefined;
  #stopping: Promise<unknown> | undefined;

  constructor(
    place: { readonly pattern: string; readonly group: string | null; readonly queue: string },
    host: ReaderHost,
  ) {
    this.pattern = place.pattern;
    this.group = place.group;
    this.queue = place.queue;
    this.#host = host;
    this.#isCoarse = isCoarse(place.pattern);
  }

  /** The channel that it reads on; undefined while there is none. */
  get channel(): ConfirmChannel | undefined {
    return this.#host.channel;
  }

  /** A subscription asks. */
  wait(member: Member): void {
    this.#waiting.add(member);
    this.#serve();
    if (!this.#waiting.has(member)) return;
    this.#keep();
    this.#ask();
    this.#answerWhenQuiet();
  }

  /** It asks no more. */
  stopWaiting(member: Member): void {
    this.#waiting.delete(member);
    this.#keep();
  }

  /** A subscription is closed. */
  async leave(member: Member): Promise<void> {
    this.members.delete(member);
    this.stopWaiting(member);
    if (this.members.size === 0) await this.giveBackUnread();
    this.#checkIdle();
  }

  /** Resolves when the server was told of everything that is settled. */
  async told(): Promise<void> {
    await this.#stopping;
  }

  /** A delivery is settled. */
  settled(delivery: RabbitDelivery, how: Settled): void {
    this.#out.delete(delivery);
    this.#host.hands.settled(this.queue, delivery.position, how);
    this.#checkIdle();
  }

  /** There may be room now where there was none. */
  more(): void {
    this.#serve();
    this.#ask();
  }

  /** A channel stands again: whoever waits is consumed for. */
  resume(): void {
    this.#ask();
  }

  /** The channel was lost, and with it everything that came over it. */
  cutOff(): void {
    this.#consumers.clear();
    for (const [delivery, later] of this.#held) {
      later.cancel();
      delivery.cutOff();
    }
    for (const delivery of [...this.#buffer, ...this.#out]) delivery.cutOff();
    this.#held.clear();
    this.#buffer = [];
    this.#answerNow();
  }

  /** Nothing more comes. */
  drop(): void {
    this.isGone = true;
    this.cutOff();
  }

  /** Consumes, if that is not so already, with room for what is asked. */
  #ask(): void {
    const { channel, timers } = this.#host;
    if (channel === undefined || this.isGone || this.#ending !== undefined) return;
    // What waits here for its time takes no room from what is due.
    const busy = this.#out.size + this.#held.size;
    let wanted = busy;
    for (const { room } of this.#waiting) wanted += Math.max(0, room);
    if (wanted <= busy) return;
    // Nor does what closed members have not settled.
    let most = busy;
    for (const { prefetch } of this.members) most += prefetch;
    let asked = 0;
    for (const { prefetch, standsAt } of this.#consumers) {
      if (standsAt === undefined) return;
      asked += prefetch;
    }
    // What is consumed already goes on: the server counts it as an attempt when a consumer ends that something is on its way to.
    const prefetch = Math.min(most - asked, Math.max(LEAST_PREFETCH, asked, wanted - asked), MOST_PREFETCH);
    if (prefetch <= 0 || (asked > 0 && wanted <= asked)) return;
    const consumer = new Consumer(
      { queue: this.queue, isQuorum: this.group !== null, channel, prefetch },
      this.#host,
    );
    this.#consumers.add(consumer);
    this.#host
      .consume(this.queue, consumer, (message) => this.#came(consumer, message))
      .then(
        () => {
          consumer.standsAt = timers.monotonic();
          this.#answerWhenQuiet();
          this.#ask();
        },
        () => {
          this.#consumers.delete(consumer);
          this.#answerNow();
        },
      );
  }

  /** Those that want what there is are told when nothing more is on its way. */
  #answerWhenQuiet(): void {
    if (this.#quiet !== undefined || ![...this.#waiting].some(({ isNow }) => isNow)) return;
    const { timers, channel } = this.#host;
    let standsAt = channel === undefined ? -Infinity : undefined;
    for (const consumer of this.#consumers) standsAt ??= consumer.standsAt;
    if (standsAt === undefined) return;
    const leftMs = Math.max(0, standsAt + QUIET_MS - timers.monotonic());
    this.#quiet = timers.after(leftMs, () => {
      this.#quiet = undefined;
      this.#answerNow();
    });
  }

  #answerNow(): void {
    for (const member of this.#waiting) if (member.isNow) member.give([]);
  }

  #came(consumer: Consumer, message: ConsumeMessage | null): void {
    if (message === null) {
      void this.#ended(consumer);
      return;
    }
    const { clock } = this.#host;
    const decoded = decode(message, clock.now());
    consumer.bring();
    const ack = (): void => consumer.ack(message);
    const delivery = new RabbitDelivery({ home: this, channel: consumer.channel, message, ack }, decoded);
    const { channel, id } = decoded.envelope;
    const { hands } = this.#host;
    delivery.isKnown({
      attempts: hands.attempts(this.queue, id, decoded.isReturned),
      dueAt: hands.dueAt(this.queue, id),
    });
    const isOthers =
      !decoded.isReturned &&
      ((this.#isCoarse && !matchPattern(this.pattern, channel)) || this.#host.isRivals(this, channel));
    if (isOthers) delivery.ack();
    else this.#timely(delivery);
  }

  async #ended(consumer: Consumer): Promise<void> {
    if (!this.#consumers.delete(consumer) || this.isGone) return;
    try {
      await this.#host.repair(this);
    } catch {
      // It is made again with the next channel.
    }
    this.#ask();
  }

  /** What came before its time waits: here for a moment, in the server for longer. */
  #timely(delivery: RabbitDelivery): void {
    const { clock, timers } = this.#host;
    const earlyMs = delivery.dueAt - clock.now();
    if (!(earlyMs > 0)) {
      this.#push(delivery);
      return;
    }
    if (rungFor(earlyMs) === undefined || (earlyMs <= HOLD_MS && this.#held.size < MOST_HELD)) {
      const later = timers.after(earlyMs, () => {
        this.#held.delete(delivery);
        this.#timely(delivery);
      });
      this.#held.set(delivery, later);
      this.#ask();
    } else void this.#host.give(delivery, { delayMs: earlyMs, counts: false });
  }

  #push(delivery: RabbitDelivery): void {
    if (this.members.size === 0 && this.#ending === undefined) {
      void this.#host.give(delivery, { delayMs: 0, counts: false });
      return;
    }
    this.#buffer.push(delivery);
    if (this.#isServing) return;
    this.#isServing = true;
    // Everything that came together is handed out together.
    queueMicrotask(() => {
      this.#isServing = false;
      this.#serve();
      this.#keep();
    });
  }

  /** Whoever waits longest is served first. */
  #serve(): void {
    for (const member of this.#waiting) {
      if (this.#buffer.length === 0) return;
      const { room } = member;
      if (room <= 0) continue;
      const taken = this.#buffer.splice(0, room);
      for (const delivery of taken) {
        this.#out.add(delivery);
        this.#host.hands.handedOut(this.queue, delivery.position, delivery.attempt);
      }
      member.give(taken);
    }
  }

  /** What nobody has room for is not kept from others. */
  #keep(): void {
    const isWanted = [...this.#waiting].some(({ room }) => room > 0);
    if (isWanted || this.#buffer.length === 0) {
      this.#keeping?.cancel();
      this.#keeping = undefined;
    } else this.#keeping ??= this.#host.timers.after(KEEP_MS, () => void this.giveBackUnread());
  }

  /** Consumes no more until somebody asks, and gives back what was not handed out. */
  giveBackUnread(): Promise<void> {
    this.#keeping?.cancel();
    this.#keeping = undefined;
    this.#ending ??= this.#end().finally(() => {
      this.#ending = undefined;
      // Somebody may have come meanwhile.
      this.#ask();
      this.#answerWhenQuiet();
      this.#keep();
    });
    return this.#ending;
  }

  async #end(): Promise<void> {
    const stops = [...this.#consumers].map((consumer) =>
      consumer.stop(() => this.#consumers.delete(consumer)),
    );
    this.#stopping = Promise.all(stops);
    await this.#stopping;
    this.#stopping = undefined;
    const { clock } = this.#host;
    const unread = [...this.#buffer, ...this.#held.keys()];
    for (const later of this.#held.values()) later.cancel();
    this.#held.clear();
    this.#buffer = [];
    await Promise.all(
      unread.map((delivery) => {
        const delayMs = delivery.dueAt === 0 ? 0 : Math.max(0, delivery.dueAt - clock.now());
        return this.#host.give(delivery, { delayMs, counts: false });
      }),
    );
  }

  #checkIdle(): void {
    if (this.members.size === 0 && this.#out.size === 0) this.#host.idle(this);
  }
}
