import { describeThrown, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { TimerHandle } from "../../core/clock.ts";
import type { Asked } from "./asking.ts";
import type { Incoming } from "./client.ts";
import type { Consumers } from "./consumers.ts";
import { ackPlace, type NatsDelivery } from "./delivery.ts";
import type { Notes } from "./notes.ts";
import type { Reader, ReaderHost } from "./reader.ts";
import type { Rivals } from "./rivals.ts";
import type { ServerRun } from "./server-run.ts";
import type { Session } from "./session.ts";
import type { Settler } from "./settler.ts";
import type { Topology } from "./topology.ts";

/** What readers are served with. */
export interface ReadersParts {
  readonly session: Session;
  readonly run: ServerRun;
  readonly topology: Topology;
  readonly consumers: Consumers;
  readonly settler: Settler;
  readonly notes: Notes;
  readonly rivals: Rivals;
}

const NANOS = 1e6;
const FIRST_REPAIR_MS = 20;
const MAX_REPAIR_MS = 1000;
/** How long it takes everybody to be connected again, beside the pauses between attempts, and to write down what was in hand. */
const RECOVERY_MS = 500;
/** How often a process makes sure that it is awake, as a share of the lease. */
const TICKS_A_LEASE = 10;

/** What comes for this broker, brought to whom it is for; and what readers ask for, brought to the server. */
export class Readers {
  readonly host: ReaderHost;
  readonly #parts: ReadersParts;
  readonly #byToken = new Map<string, Reader>();
  readonly #tokens = new Map<Reader, string>();
  readonly #repairing = new Set<Reader>();
  #off: (() => void)[] = [];
  #listening: { unsubscribe(): void } | undefined;
  #ticking: TimerHandle | undefined;
  #awakeAt: number;
  #serverId = "";
  #count = 0;

  constructor(parts: ReadersParts) {
    this.#parts = parts;
    this.#awakeAt = parts.session.clock.monotonic();
    this.host = this.#makeHost();
  }

  /** Every reader of this broker. */
  all(): Reader[] {
    return [...this.#tokens.keys()];
  }

  async start(): Promise<void> {
    const { link, id } = this.#parts.session;
    this.#listening = await link.listen(
      (inbox) => `${inbox}${id}.>`,
      (message) => this.#heard(message),
    );
    this.#serverId = link.serverId;
    const doubt = (): void => {
      for (const reader of this.#tokens.keys()) reader.doubt(false);
    };
    this.#off = [link.onUp(() => this.#up()), link.onDown(doubt)];
    this.#tick();
  }

  stop(): void {
    for (const off of this.#off) off();
    this.#ticking?.cancel();
    this.#listening?.unsubscribe();
    for (const reader of this.all()) this.forget(reader);
  }

  /** From now on what comes for its consumer is brought to it. */
  keep(reader: Reader): void {
    const token = (this.#count++).toString(36);
    this.#byToken.set(token, reader);
    this.#tokens.set(reader, token);
    this.#parts.topology.add(reader);
  }

  /** Reads what others had in hand of a consumer that was there before this process came. */
  recall(reader: Reader): void {
    void reader.recover(this.#recall(reader));
  }

  forget(reader: Reader): void {
    const token = this.#tokens.get(reader);
    if (token === undefined) return;
    this.#tokens.delete(reader);
    this.#byToken.delete(token);
    this.#parts.topology.remove(reader);
    this.#parts.rivals.forget(reader);
  }

  #makeHost(): ReaderHost {
    const { session, settler } = this.#parts;
    const { clock, timers, names, link } = session;
    return {
      clock,
      timers,
      get isUp() {
        return link.isUp;
      },
      get serverId() {
        return link.serverId;
      },
      channel: (subject) => names.channel(subject),
      pull: (reader, asked) => this.#pull(reader, asked),
      repair: (reader) => void this.#repair(reader),
      leaseUntil: (leaseMs) => this.#leaseUntil(leaseMs),
      sift: (delivery, reader) => this.#sift(delivery, reader),
      release: (deliveries, delayMs) => settler.release(deliveries, delayMs),
      missed: (deliveries) => settler.missed(deliveries),
      drop: (replies) => settler.drop(replies),
      idle: (reader) => {
        if (reader.group !== null) this.forget(reader);
      },
    };
  }

  #pull(reader: Reader, { number, batch, expiresMs }: Asked): boolean {
    const { names, id, link } = this.#parts.session;
    const token = this.#tokens.get(reader);
    if (token === undefined) return false;
    // It ends with what there is, and waits only where there is nothing.
    const expires = expiresMs > 0 ? { expires: Math.ceil(expiresMs * NANOS) } : {};
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${names.stream}.${reader.consumer}`;
    try {
      link.send(subject, JSON.stringify({ batch, no_wait: true, ...expires }), {
        reply: `${link.inbox}${id}.${token}.${number}`,
      });
      return true;
    } catch {
      return false;
    }
  }

  /** A message, or a sign that a request for some has ended. */
  #heard(message: Incoming): void {
    const place = ackPlace(message.reply);
    if (place === undefined) {
      const [token = "", number] = message.subject.split(".").slice(-2);
      const { code = 0, description = "" } = message.headers ?? {};
      this.#byToken.get(token)?.ended(Number(number), code, description);
      return;
    }
    const reader = this.#parts.topology.readers.get(place.consumer);
    if (reader === undefined) this.#sendBack(message.reply);
    else reader.arrived(message, place);
  }

  /** Nobody here reads it any more. */
  #sendBack(reply: string): void {
    try {
      this.#parts.session.link.send(reply, "-NAK");
    } catch {
      // Its lease ends.
    }
  }

  #sift(delivery: NatsDelivery, reader: Reader): Promise<boolean> | undefined {
    const { rivals, notes } = this.#parts;
    const { count, envelope, position } = delivery;
    const isAlone = rivals.hasNone(reader);
    if (count <= 1 && isAlone) return undefined;
    return (async () => {
      if (!isAlone && !(await rivals.isFor(reader, envelope.channel))) return false;
      if (count > 1) delivery.take(await notes.read(reader.consumer, position));
      return true;
    })();
  }

  /** What a process reads after it was held up may have come at any time since it was last awake. */
  #leaseUntil(leaseMs: number): number {
    const now = this.#parts.session.clock.monotonic();
    const isAwake = now - this.#awakeAt < leaseMs / (TICKS_A_LEASE / 2);
    return (isAwake ? now : this.#awakeAt) + leaseMs;
  }

  #tick(): void {
    const { clock, settings } = this.#parts.session;
    this.#awakeAt = clock.monotonic();
    this.#ticking = clock.setTimer(settings.leaseMs / TICKS_A_LEASE, () => this.#tick());
  }

  #up(): void {
    const { clock, link } = this.#parts.session;
    this.#awakeAt = clock.monotonic();
    const isAnother = link.serverId !== this.#serverId;
    this.#serverId = link.serverId;
    if (isAnother) void this.#parts.run.age().catch(() => {});
    for (const reader of this.#tokens.keys()) {
      if (isAnother && reader.isStored) void reader.recover(this.#recover(reader));
      reader.doubt(false);
    }
  }

  /** A server that was started again has forgotten its last deliveries: everybody writes down what was in hand, then reads. */
  async #recover(reader: Reader): Promise<void> {
    const { session } = this.#parts;
    const everybody = session.timers.pause(this.#everybodyMs);
    await this.#surely(reader, () => reader.recovery.write(session, reader, session.clock.monotonic()));
    await everybody.over;
    await this.#surely(reader, () => reader.recovery.read(session, reader));
  }

  async #recall(reader: Reader): Promise<void> {
    const { run, session } = this.#parts;
    await this.#surely(reader, async () => {
      const missingMs = this.#everybodyMs - (await run.age());
      if (missingMs > 0) await session.timers.pause(missingMs).over;
      await reader.recovery.read(session, reader);
    });
  }

  get #everybodyMs(): number {
    return this.#parts.session.settings.maxReconnectMs + RECOVERY_MS;
  }

  /** Until it is done: what comes before would be counted from one. */
  async #surely(reader: Reader, call: () => Promise<void>): Promise<void> {
    const { session } = this.#parts;
    while (!session.isClosed && !reader.isGone) {
      try {
        await call();
        return;
      } catch {
        await session.timers.pause(FIRST_REPAIR_MS).over;
      }
    }
  }

  /** Tries until the consumer stands, less and less often. */
  async #repair(reader: Reader): Promise<void> {
    if (this.#repairing.has(reader)) return;
    this.#repairing.add(reader);
    const { session } = this.#parts;
    let pauseMs = FIRST_REPAIR_MS;
    while (!session.isClosed && !reader.isGone && session.link.isUp) {
      try {
        await this.#stand(reader);
        break;
      } catch (error) {
        if (pauseMs === MAX_REPAIR_MS) this.#fault(error);
        await session.timers.pause(pauseMs).over;
        pauseMs = Math.min(MAX_REPAIR_MS, pauseMs * 2);
      }
    }
    this.#repairing.delete(reader);
    // Where the connection broke, the next one asks again.
    if (session.link.isUp && !session.isClosed) reader.ask();
  }

  async #stand(reader: Reader): Promise<void> {
    this.#parts.rivals.forget(reader);
    if (await this.#parts.consumers.repair(reader)) reader.stands();
    else {
      reader.drop();
      this.forget(reader);
    }
  }

  #fault(error: unknown): void {
    const known = toHeraldError(error);
    emit("fault", () => ({ agent: "", error: known, where: `nats consumer: ${describeThrown(error)}` }));
  }
}
