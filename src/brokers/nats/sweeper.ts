import type { TimerHandle } from "../../core/clock.ts";
import type { Consumers } from "./consumers.ts";
import { isConsumerMissing } from "./errors.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";
import type { Topology } from "./topology.ts";

/** Looks a tick: with many readers a round takes longer, and costs no more. */
const MAX_A_TICK = 10;
const TICKS_A_ROUND = 20;
/** What is found missing must be missing still after this. */
const CONFIRM_MS = 100;

/** Finds what no message tells of: consumers that are gone, requests that are lost, messages that went unread. */
export class Sweeper {
  readonly #session: Session;
  readonly #topology: Topology;
  readonly #consumers: Consumers;
  #timer: TimerHandle | undefined;
  #turn: Iterator<Reader> | undefined;
  #closed = false;

  constructor(session: Session, topology: Topology, consumers: Consumers) {
    this.#session = session;
    this.#topology = topology;
    this.#consumers = consumers;
  }

  start(): void {
    const { clock, settings } = this.#session;
    this.#timer = clock.setTimer(settings.sweepMs / TICKS_A_ROUND, () => void this.#run());
  }

  stop(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    if (this.#session.link.isUp) await Promise.all(this.#next().map((reader) => this.#look(reader)));
    if (!this.#closed) this.start();
  }

  #next(): Reader[] {
    const most = Math.min(MAX_A_TICK, Math.ceil(this.#topology.readers.size / TICKS_A_ROUND));
    const found: Reader[] = [];
    while (found.length < most) {
      this.#turn ??= [...this.#topology.readers.values()].values();
      const { value, done } = this.#turn.next();
      if (done === true) {
        this.#turn = undefined;
        break;
      }
      if (value.members.size > 0 && value.isStored && value.isStanding && !value.isGone) found.push(value);
    }
    return found;
  }

  async #look(reader: Reader): Promise<void> {
    const { api, names, clock, timers } = this.#session;
    const { expected } = reader;
    try {
      const look = expected.look();
      const wasAsking = reader.isAsking;
      let info = await api.consumer(names.stream, reader.consumer);
      const isMissing = expected.missing(info, look.published) > 0;
      if (isMissing) {
        // A count may lag behind what was stored a moment ago.
        await timers.pause(CONFIRM_MS).over;
        info = await api.consumer(names.stream, reader.consumer);
        if (expected.epoch === look.epoch)
          await this.#consumers.tell(reader, expected.missing(info, look.published), "channel");
      }
      if (expected.epoch !== look.epoch || !reader.isStanding) return;
      if (isMissing || expected.isTaken(look)) expected.seen(info, clock.now());
      // Something is there, somebody waits, and the server knows of nobody.
      const isStuck = info.num_pending > 0 && info.num_waiting === 0 && wasAsking && reader.isAsking;
      if (isStuck && reader.isWaitedFor) await this.#unstick(reader);
    } catch (error) {
      if (isConsumerMissing(error)) reader.doubt(true);
    }
  }

  async #unstick(reader: Reader): Promise<void> {
    const { asked } = reader;
    await this.#session.timers.pause(CONFIRM_MS).over;
    if (reader.isAsking && reader.asked === asked) reader.doubt(false);
  }
}
