import { setImmediate as turn } from "node:timers/promises";
import type { BrokerPublishOptions, PublishResult } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { checkChannel } from "../../core/pattern.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import type { Incoming } from "./client.ts";
import { headersOf } from "./codec.ts";
import { ApiRefusal, NobodyServes, notConnected, publishError, type ApiErrorBody } from "./errors.ts";
import type { Session } from "./session.ts";
import type { Topology } from "./topology.ts";

/** The result of an accepted publish. */
class Accepted {
  readonly ok = true as const;
  readonly position: string | null;
  readonly deduplicated: boolean;
  /** JetStream does not say who reads. */
  readonly matched = null;

  constructor(position: string | null, deduplicated: boolean) {
    this.position = position;
    this.deduplicated = deduplicated;
  }
}

/** One envelope on its way. */
interface Outgoing {
  readonly envelope: Envelope;
  readonly bytes: number;
  readonly dedupe: boolean;
  readonly tell: (result: PublishResult) => void;
  /** The stream was found missing once, and made again. */
  isSecond: boolean;
}

/** More than this is not written before answers come: the server's queue before a stream is bounded. */
const MAX_IN_FLIGHT = 1000;
const MAX_IN_FLIGHT_BYTES = 16 * 1024 * 1024;
/** What is due later than this waits inside NATS, which brings it so much too early: the rest is waited for by who reads. */
const SCHEDULED_FROM_MS = 5000;
const SCHEDULED_EARLY_MS = 2500;

interface Answer {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: ApiErrorBody;
}

/** Writes envelopes in order, without waiting for one before the next; every one is answered by the server. */
export class Publisher {
  readonly #session: Session;
  readonly #topology: Topology;
  #waiting: Outgoing[] = [];
  #at = 0;
  #inFlight = 0;
  #inFlightBytes = 0;
  #isPumping = false;
  /** The place of what was stored last. */
  #sequence = 0;
  #isDoubtful = false;

  constructor(session: Session, topology: Topology) {
    this.#session = session;
    this.#topology = topology;
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const results = Array.from<PublishResult>({ length: envelopes.length });
    if (envelopes.length === 0) return results;
    // A caller that tries again at once must not keep the event loop, and with it the connection, from coming back.
    if (!this.#session.link.isUp) await turn();
    return new Promise((resolve) => {
      let left = envelopes.length;
      for (const [at, envelope] of envelopes.entries()) {
        this.#sort(envelope, options.dedupe === true, (result) => {
          results[at] = result;
          if (--left === 0) resolve(results);
        });
      }
      this.#pump();
    });
  }

  #sort(envelope: Envelope, dedupe: boolean, tell: (result: PublishResult) => void): void {
    try {
      checkChannel(envelope.channel);
      const bytes = envelope.body.byteLength;
      const { maxBodyBytes } = this.#session.settings;
      if (bytes > maxBodyBytes) throw bodyTooLarge(bytes, maxBodyBytes);
      if (this.#topology.isEphemeral(envelope.channel)) {
        this.#publishLive(envelope);
        tell(new Accepted(null, false));
      } else if (envelope.priority !== DEFAULT_PRIORITY) throw noPriority();
      else this.#waiting.push({ envelope, bytes, dedupe, tell, isSecond: false });
    } catch (error) {
      tell({ ok: false, error: toHeraldError(error) });
    }
  }

  #publishLive(envelope: Envelope): void {
    const { link, names } = this.#session;
    link.send(names.live(envelope.channel), envelope.body, { headers: headersOf(envelope) });
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#at < this.#waiting.length && this.#hasRoom) {
      const outgoing = this.#waiting[this.#at++] as Outgoing;
      this.#inFlight++;
      this.#inFlightBytes += outgoing.bytes;
      this.#write(outgoing);
    }
    this.#isPumping = false;
    if (this.#at === this.#waiting.length) {
      this.#waiting = [];
      this.#at = 0;
    } else if (this.#at > MAX_IN_FLIGHT) {
      this.#waiting = this.#waiting.slice(this.#at);
      this.#at = 0;
    }
  }

  get #hasRoom(): boolean {
    return (
      this.#inFlight < MAX_IN_FLIGHT && (this.#inFlightBytes < MAX_IN_FLIGHT_BYTES || this.#inFlight === 0)
    );
  }

  #write(outgoing: Outgoing): void {
    const { envelope, dedupe } = outgoing;
    const { link, names, clock } = this.#session;
    try {
      const headers = headersOf(envelope);
      const channel = names.subject(envelope.channel);
      const delayMs = envelope.deliverAt === undefined ? 0 : envelope.deliverAt - clock.now();
      const isScheduled = delayMs > SCHEDULED_FROM_MS;
      if (dedupe) headers.add("Nats-Msg-Id", `${envelope.id}@${envelope.channel}`);
      if (isScheduled) {
        const at = new Date((envelope.deliverAt as number) - SCHEDULED_EARLY_MS).toISOString();
        headers.add("Nats-Schedule", `@at ${at}`).add("Nats-Schedule-Target", channel);
      }
      const subject = isScheduled ? names.delayed(createId(clock.now())) : channel;
      const readers = isScheduled ? [] : this.#topology.readersOn(envelope.channel);
      let epochs: number[] = [];
      const done = (error: unknown, message: Incoming | undefined): void => {
        const stored = this.#done(outgoing, isScheduled, error, message);
        for (const [at, { expected }] of readers.entries()) expected.sent(epochs[at] as number, stored);
      };
      const size = outgoing.bytes + headers.encode().length;
      if (size > link.maxPayloadBytes) throw bodyTooLarge(size, link.maxPayloadBytes);
      link.ask(subject, envelope.body, done, headers);
      epochs = readers.map(({ expected }) => expected.sending());
    } catch (error) {
      this.#end(outgoing, { ok: false, error: publishError(error) });
    }
  }

  /** True when something new was stored. */
  #done(outgoing: Outgoing, isScheduled: boolean, error: unknown, message: Incoming | undefined): boolean {
    if (message === undefined) {
      this.#failed(outgoing, error);
      return false;
    }
    const answer = JSON.parse(Buffer.from(message.data).toString("utf8")) as Answer;
    if (answer.error !== undefined) {
      this.#failed(outgoing, new ApiRefusal(answer.error));
      return false;
    }
    const isRepeat = answer.duplicate === true;
    const sequence = answer.seq ?? 0;
    this.#end(outgoing, new Accepted(isScheduled ? null : String(sequence), isRepeat));
    if (isRepeat) return false;
    const isOlder = sequence <= this.#sequence;
    this.#sequence = sequence;
    if (isOlder) this.#doubt();
    return !this.#isDoubtful;
  }

  /** Places that begin again are another stream's: somebody has deleted the one before. */
  #doubt(): void {
    this.#isDoubtful = true;
    const over = (): void => void (this.#isDoubtful = false);
    this.#session.restore().then(over, over);
  }

  #failed(outgoing: Outgoing, error: unknown): void {
    if (!(error instanceof NobodyServes) || outgoing.isSecond || this.#session.isClosed) {
      this.#end(outgoing, { ok: false, error: publishError(error) });
      return;
    }
    // The stream is gone, so nothing was stored: it is made again, and the message is written again.
    outgoing.isSecond = true;
    this.#session.restore().then(
      () => this.#write(outgoing),
      () => this.#end(outgoing, { ok: false, error: notConnected(error) }),
    );
  }

  #end({ bytes, tell }: Outgoing, result: PublishResult): void {
    this.#inFlight--;
    this.#inFlightBytes -= bytes;
    tell(result);
    if (this.#at < this.#waiting.length) this.#pump();
  }
}

function noPriority(): HeraldError {
  const message =
    "JetStream knows no priorities: publish with the default one, or put withPriority() of herald/brokers/emulate around the broker.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "priority" } });
}
