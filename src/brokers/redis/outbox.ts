import type { PublishResult } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import type { HeraldError } from "../../core/errors.ts";
import { pushFields } from "./codec.ts";
import { publishError, redisError } from "./errors.ts";
import { positionOf, streamOf, type Lane } from "./keys.ts";
import { APPEND, PUBLISH } from "./scripts-publish.ts";
import type { Session } from "./session.ts";

/** The result of an accepted publish. */
export class Accepted {
  readonly ok = true as const;
  readonly position: string | null;
  readonly deduplicated: boolean;
  readonly matched: number | null;

  constructor(position: string | null, deduplicated: boolean, matched: number | null) {
    this.position = position;
    this.deduplicated = deduplicated;
    this.matched = matched;
  }
}

/** One call of publish: a result for each envelope, whenever it is known. */
export class PublishCall {
  readonly results: PublishResult[];
  readonly done: Promise<readonly PublishResult[]>;
  #left: number;
  #resolve: (results: readonly PublishResult[]) => void = () => {};

  constructor(count: number) {
    this.results = Array.from<PublishResult>({ length: count });
    this.#left = count;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
    if (count === 0) this.#resolve(this.results);
  }

  set(at: number, result: PublishResult): void {
    this.results[at] = result;
    if (--this.#left === 0) this.#resolve(this.results);
  }

  fail(at: number, error: HeraldError): void {
    this.set(at, { ok: false, error });
  }
}

/** One envelope on its way. */
export class Outgoing {
  readonly envelope: Envelope;
  readonly call: PublishCall;
  readonly at: number;
  readonly dedupe: boolean;

  constructor(envelope: Envelope, call: PublishCall, at: number, dedupe: boolean) {
    this.envelope = envelope;
    this.call = call;
    this.at = at;
    this.dedupe = dedupe;
  }
}

/** What an outbox tells and asks. */
export interface OutboxHost {
  readonly session: Session;
  readonly dedupeWindowMs: number;
  /** Makes the lane with every group that it must have. */
  prepare(lane: Lane): Promise<void>;
  /** The stream was deleted under it. */
  gone(lane: Lane): void;
  /** Entries are on their way. */
  appended(lane: Lane): void;
  stored(count: number): void;
  /** The soonest of the delayed ones is due in so many ms. */
  delayed(delayMs: number): void;
}

/** Envelopes that somebody else writes, as one part of what that one does. */
export interface Prepared {
  /** Arguments of PUBLISH, and the stream that must be there. */
  readonly publish: { readonly base: string; readonly stream: string; readonly args: readonly string[] };
  readonly told: (count: number) => void;
}

/** Envelopes of one command: few enough that a server serves others in between. */
const MAX_ENTRIES = 64;
const MAX_BYTES = 256 * 1024;

/**
 * What is published on one lane: written in order, everything of one turn of the event loop in few commands. A single entry is a
 * plain XADD; several are one script that adds them one by one; recognising an id or waiting for a time takes a script too.
 */
export class Outbox {
  readonly lane: Lane;
  readonly #base: string;
  readonly #stream: string;
  readonly #host: OutboxHost;
  #waiting: Outgoing[] = [];
  /** The lane stands with every group that it must have. */
  #stands = false;
  #isMaking = false;
  #isTelling = false;

  constructor(base: string, lane: Lane, host: OutboxHost) {
    this.lane = lane;
    this.#base = base;
    this.#stream = streamOf(base, lane);
    this.#host = host;
  }

  /** Puts an envelope behind the others; true when it is the first that waits. */
  add(outgoing: Outgoing): boolean {
    return this.#waiting.push(outgoing) === 1;
  }

  /**
   * Resolves once the lane stands with every group that it must have: somebody else may write to it then. Rejects with what making it
   * rejects with.
   */
  async stand(): Promise<void> {
    if (this.#stands) return;
    await this.#host.prepare(this.lane);
    this.#stands = true;
  }

  /** The stream was deleted: it is made again. */
  makeAgain(): Promise<void> {
    this.doubt();
    this.#host.gone(this.lane);
    return this.stand();
  }

  /** What writes envelopes that are recognised by their ids, and what to do once they are written: how many were new. */
  prepared(envelopes: readonly Envelope[]): Prepared {
    const now = this.#host.session.clock.now();
    const batch = envelopes.map((envelope) => ({ envelope, dedupe: true }));
    const { args, soonestMs } = this.#argumentsOf(batch, now);
    return {
      publish: { base: this.#base, stream: this.#stream, args },
      told: (count) => {
        this.#host.stored(count);
        this.#appendedSoon();
        if (soonestMs !== Infinity) this.#host.delayed(soonestMs);
      },
    };
  }

  /** Others are told once of all that was written for somebody else in this turn of the event loop. */
  #appendedSoon(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    process.nextTick(() => {
      this.#isTelling = false;
      this.#host.appended(this.lane);
    });
  }

  /** The keys of the channel may be gone: the lane is made again before anything is written. */
  doubt(): void {
    this.#stands = false;
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#isMaking || this.#waiting.length === 0) return;
    if (!this.#stands) {
      void this.#make();
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    const now = this.#host.session.clock.now();
    let first = 0;
    let bytes = 0;
    for (let at = 0; at < waiting.length; at++) {
      const outgoing = waiting[at] as Outgoing;
      const isSplit =
        at - first >= MAX_ENTRIES ||
        bytes >= MAX_BYTES ||
        isPlain(outgoing, now) !== isPlain(waiting[first] as Outgoing, now);
      if (isSplit) {
        this.#write(waiting.slice(first, at), now);
        first = at;
        bytes = 0;
      }
      bytes += outgoing.envelope.body.byteLength;
    }
    this.#write(first === 0 ? waiting : waiting.slice(first), now);
    this.#host.appended(this.lane);
  }

  async #make(): Promise<void> {
    this.#isMaking = true;
    try {
      await this.#host.prepare(this.lane);
      this.#stands = true;
    } catch (error) {
      // Nothing of it was written: a publish that could not be prepared is surely not stored.
      const failed = redisError(error);
      for (const { call, at } of this.#waiting.splice(0)) call.fail(at, failed);
    } finally {
      this.#isMaking = false;
    }
    this.flush();
  }

  #write(batch: readonly Outgoing[], now: number): void {
    if (!isPlain(batch[0] as Outgoing, now)) void this.#publish(batch, now);
    else if (batch.length === 1) void this.#add(batch);
    else void this.#append(batch);
  }

  async #add(batch: readonly Outgoing[]): Promise<void> {
    const args = ["XADD", this.#stream, "NOMKSTREAM", "*"];
    pushFields(args, (batch[0] as Outgoing).envelope);
    try {
      const id = (await this.#host.session.send(this.#stream, args)) as string | null;
      if (id === null) this.#again(batch);
      else this.#stored(batch, [id]);
    } catch (error) {
      fail(batch, error);
    }
  }

  async #append(batch: readonly Outgoing[]): Promise<void> {
    const args: string[] = [];
    for (const { envelope } of batch) {
      const at = args.push("") - 1;
      pushFields(args, envelope);
      args[at] = String(args.length - at - 1);
    }
    try {
      const ids = (await this.#host.session.run(APPEND, this.#stream, args)) as string[] | null;
      if (ids === null) this.#again(batch);
      else this.#stored(batch, ids);
    } catch (error) {
      fail(batch, error);
    }
  }

  #stored(batch: readonly Outgoing[], ids: readonly string[]): void {
    this.#host.stored(batch.length);
    for (const [n, { call, at }] of batch.entries())
      call.set(at, new Accepted(positionOf(this.lane, ids[n] as string), false, null));
  }

  async #publish(batch: readonly Outgoing[], now: number): Promise<void> {
    const { session } = this.#host;
    const { args, soonestMs } = this.#argumentsOf(batch, now);
    try {
      const reply = (await session.run(PUBLISH, this.#base, args)) as (string | number)[] | null;
      if (reply === null) {
        this.#again(batch);
        return;
      }
      let stored = 0;
      for (const [n, { call, at }] of batch.entries()) {
        const position = reply[n * 2] as string;
        const isRepeat = reply[n * 2 + 1] === 1;
        if (!isRepeat) stored++;
        call.set(at, new Accepted(position === "" ? null : position, isRepeat, null));
      }
      this.#host.stored(stored);
      if (soonestMs !== Infinity) this.#host.delayed(soonestMs);
    } catch (error) {
      fail(batch, error);
    }
  }

  /** Arguments of PUBLISH, and when the first of the delayed ones is due. */
  #argumentsOf(
    batch: readonly Pick<Outgoing, "envelope" | "dedupe">[],
    now: number,
  ): { readonly args: string[]; readonly soonestMs: number } {
    const args = [this.lane, String(this.#host.dedupeWindowMs)];
    let soonestMs = Infinity;
    for (const { envelope, dedupe } of batch) {
      const delayMs = Math.max(0, (envelope.deliverAt ?? now) - now);
      if (delayMs > 0) soonestMs = Math.min(soonestMs, delayMs);
      const at = args.push(String(delayMs), dedupe ? envelope.id : "", "") - 1;
      pushFields(args, envelope);
      args[at] = String(args.length - at - 1);
    }
    return { args, soonestMs };
  }

  /** The stream was deleted and nothing was stored: it is made again with every group that is known, and then written. */
  #again(batch: readonly Outgoing[]): void {
    this.#stands = false;
    this.#waiting = [...batch, ...this.#waiting];
    this.#host.gone(this.lane);
    this.flush();
  }
}

function isPlain({ envelope, dedupe }: Outgoing, now: number): boolean {
  return !dedupe && (envelope.deliverAt === undefined || envelope.deliverAt <= now);
}

function fail(batch: readonly Outgoing[], error: unknown): void {
  const failed = publishError(error);
  for (const { call, at } of batch) call.fail(at, failed);
}

/** Envelopes by where they are written, in their order, and what is told to those who listen now. */
export interface Sorted {
  readonly written: ReadonlyMap<Outbox, readonly Envelope[]>;
  readonly shouts: readonly (readonly [string, string])[];
}
