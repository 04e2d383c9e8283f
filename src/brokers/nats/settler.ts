import { Deadlines } from "../../core/deadlines.ts";
import type { Settlement } from "../../core/delivery.ts";
import { HeraldError } from "../../core/errors.ts";
import { withFailure } from "../shared/failures.ts";
import { NatsDelivery, type GivenBack, type Holder } from "./delivery.ts";
import { natsError, NobodyServes } from "./errors.ts";
import type { Notes } from "./notes.ts";
import type { Session } from "./session.ts";

const ACK = "+ACK";
const NAK = "-NAK";
const PROGRESS = "+WPI";
const NANOS = 1e6;
const RETRY_MS = 50;
/** A server that has just been started may not serve its consumers yet. */
const GONE_MS = 1000;

/** What one delivery ends with on the wire. */
interface Word {
  readonly delivery: NatsDelivery;
  readonly word: string;
}

/** Carries settlements to the server. One answer is awaited for all that go to one consumer: it takes them in order. */
export class Settler {
  readonly #session: Session;
  readonly #notes: Notes;
  readonly #renewals: Deadlines<NatsDelivery>;

  constructor(session: Session, notes: Notes) {
    this.#session = session;
    this.#notes = notes;
    this.#renewals = new Deadlines(session.clock, (delivery) => this.#renew(delivery));
  }

  /** Renews nothing any more. */
  stop(): void {
    this.#renewals.clear();
  }

  /** Settles what `holder` holds; the rest, and what its lease has ended for, is ignored. */
  async settle(settlements: readonly Settlement[], holder: Holder): Promise<void> {
    const words: Word[] = [];
    const extended: NatsDelivery[] = [];
    const noting: Promise<Word>[] = [];
    const now = this.#session.clock.monotonic();
    for (const settlement of settlements) {
      const delivery = settlement.delivery.receipt;
      if (!(delivery instanceof NatsDelivery) || delivery.holder !== holder) continue;
      const isOurs = delivery.leaseUntil > now && !delivery.home.isGone && !delivery.isStale;
      if (settlement.kind === "extend") {
        if (!isOurs || delivery.isLive) continue;
        delivery.wantedUntil = now + settlement.leaseMs;
        extended.push(delivery);
        continue;
      }
      this.#end(delivery, isOurs && settlement.kind === "ack");
      if (!isOurs) continue;
      if (delivery.isLive) {
        if (settlement.kind !== "ack") delivery.home.returned(delivery, settlement);
        continue;
      }
      if (settlement.kind === "ack") {
        if (delivery.hasNote) this.#notes.forget(delivery.home.consumer, delivery.position);
        words.push({ delivery, word: ACK });
      } else noting.push(this.#giveBack(delivery, settlement));
    }
    const running: Promise<void>[] = [];
    if (words.length > 0) running.push(this.#say(words));
    if (noting.length > 0) running.push(this.#sayNoted(noting));
    if (extended.length > 0) running.push(this.#extend(extended));
    if (running.length === 1) await running[0];
    else
      for (const result of await Promise.allSettled(running))
        if (result.status === "rejected") throw result.reason;
  }

  /** Gives back what was not handed out. What cannot be given back now comes back when its lease ends. */
  async release(deliveries: readonly NatsDelivery[], delayMs = 0): Promise<void> {
    const kind = "release";
    const known = deliveries.filter(({ isStale }) => !isStale);
    try {
      await this.#sayNoted(known.map((delivery) => this.#giveBack(delivery, { kind, delivery, delayMs })));
    } catch {
      // Its lease ends.
    }
  }

  /** Notes that deliveries which were never handed out, and have run out of their lease, were no attempts. */
  missed(deliveries: readonly NatsDelivery[]): void {
    for (const { home, position, count, released, failures, isStale } of deliveries) {
      if (isStale) continue;
      const note = { count, released: released + 1, failures };
      // Where that fails, one attempt too many is counted.
      this.#notes.write(home.consumer, position, note).catch(() => {});
    }
  }

  /** Ends messages that nobody here is to get. */
  drop(replies: readonly string[]): void {
    try {
      for (const reply of replies) this.#session.link.send(reply, ACK);
    } catch {
      // They come again.
    }
  }

  #end(delivery: NatsDelivery, isDone: boolean): void {
    const { holder, home } = delivery;
    delivery.holder = null;
    holder?.settled(1);
    home.settled(delivery, isDone);
  }

  /** The note comes first: a crash in between makes a delivery that ends with its lease, and is no attempt either. */
  async #giveBack(delivery: NatsDelivery, settlement: GivenBack): Promise<Word> {
    const { home, position, count } = delivery;
    const isNack = settlement.kind === "nack";
    const failure = isNack ? settlement.failure : undefined;
    const { clock } = this.#session;
    const dueAt = clock.monotonic() + Math.max(0, settlement.delayMs);
    if (!isNack || failure !== undefined || delivery.released < 0) {
      await this.#patiently(delivery.leaseUntil, () =>
        this.#notes.write(home.consumer, position, {
          count,
          released: delivery.released + (isNack ? 0 : 1),
          failures: withFailure(delivery.failures, failure),
        }),
      );
    }
    const delayMs = Math.max(0, dueAt - clock.monotonic());
    if (delayMs > 0) home.parked(delayMs);
    return { delivery, word: delayMs > 0 ? `${NAK} {"delay":${Math.ceil(delayMs * NANOS)}}` : NAK };
  }

  async #sayNoted(noting: readonly Promise<Word>[]): Promise<void> {
    const results = await Promise.allSettled(noting);
    const words = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    if (words.length > 0) await this.#say(words);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Sends words, and again over the next connection where the answer stayed out, until the leases are over. */
  async #say(words: readonly Word[]): Promise<void> {
    const byConsumer = new Map<string, Word[]>();
    let leaseUntil = -Infinity;
    for (const word of words) {
      const { consumer } = word.delivery.home;
      const list = byConsumer.get(consumer);
      if (list === undefined) byConsumer.set(consumer, [word]);
      else list.push(word);
      leaseUntil = Math.max(leaseUntil, word.delivery.leaseUntil);
    }
    await this.#patiently(leaseUntil, async () => {
      const confirmed = [...byConsumer.values()].map((list) => this.#send(list));
      await (confirmed.length === 1 ? confirmed[0] : Promise.all(confirmed));
    });
  }

  async #send(words: readonly Word[]): Promise<void> {
    const { link } = this.#session;
    const last = words.at(-1) as Word;
    for (const { delivery, word } of words) if (delivery !== last.delivery) link.send(delivery.reply, word);
    if (last.delivery.serverId === link.serverId) {
      await link.request(last.delivery.reply, last.word);
      return;
    }
    // A server that was started again answers nothing for a delivery that it has forgotten: that one comes again.
    link.send(last.delivery.reply, last.word);
    await link.flush();
  }

  async #patiently(until: number, call: () => Promise<void>): Promise<void> {
    const { clock } = this.#session;
    const since = clock.monotonic();
    for (;;) {
      try {
        await call();
        return;
      } catch (error) {
        if (this.#session.isClosed) return;
        // The consumer is gone, and with it what there was to settle.
        if (error instanceof NobodyServes && clock.monotonic() - since > GONE_MS) return;
        if (clock.monotonic() >= until) throw this.#tooLate(error);
        await new Promise<void>((resolve) => void clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  #tooLate(error: unknown): HeraldError {
    const { code, retryable, message } = natsError(error);
    return new HeraldError(
      code,
      `A delivery was not settled before its lease ended, and comes again: ${message}`,
      {
        cause: error,
        retryable,
      },
    );
  }

  async #extend(deliveries: readonly NatsDelivery[]): Promise<void> {
    const now = this.#session.clock.monotonic();
    try {
      await this.#say(deliveries.map((delivery) => ({ delivery, word: PROGRESS })));
    } catch (error) {
      throw natsError(error);
    }
    for (const delivery of deliveries) {
      const { leaseMs } = delivery.home;
      delivery.leaseUntil = Math.max(delivery.leaseUntil, now + leaseMs);
      if (delivery.wantedUntil > delivery.leaseUntil) this.#renewals.add(leaseMs / 3, delivery);
    }
  }

  /** The server knows one length of lease: a longer one is kept alive from here, and dies with this process. */
  #renew(delivery: NatsDelivery): void {
    const now = this.#session.clock.monotonic();
    if (delivery.holder === null || now >= delivery.wantedUntil || now >= delivery.leaseUntil) return;
    this.#extend([delivery]).catch(() => {});
  }
}
