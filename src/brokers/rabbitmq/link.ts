import type { Channel, ChannelModel } from "amqplib";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { destroy, type Connect } from "./client.ts";
import { CutOff, notConnected, rabbitError } from "./errors.ts";

/** Times of a link. */
export interface LinkTimes {
  readonly clock: Clock;
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly maxReconnectMs: number;
}

const FIRST_PAUSE_MS = 50;
/** Every virtual host has it. */
export const KNOWN_EXCHANGE = "amq.direct";

/**
 * A connection that is made again when it is lost; nothing of the one before is ever used again. It asks for a sign of life:
 * half-open links and stopped servers answer nothing.
 */
export class Link {
  readonly #connect: Connect;
  readonly #times: LinkTimes;
  readonly #onUp = new Set<() => void>();
  readonly #onDown = new Set<(cause: unknown) => void>();
  readonly #onUnblocked = new Set<() => void>();
  #model: ChannelModel | undefined;
  #cause: unknown;
  #timer: TimerHandle | undefined;
  #attempts = 0;
  #closed = false;

  constructor(connect: Connect, times: LinkTimes) {
    this.#connect = connect;
    this.#times = times;
  }

  /** Why the server takes no messages now; undefined: it does. */
  blockedBy: string | undefined;

  /** The server was away before the connection that stands: it may have been started again. */
  wasAway = false;

  get isUp(): boolean {
    return this.#model !== undefined;
  }

  /** The connection that stands. Throws `NOT_CONNECTED` when there is none. */
  get model(): ChannelModel {
    if (this.#model === undefined) throw notConnected(this.#cause);
    return this.#model;
  }

  /** Connects for the first time. Rejects when that fails. */
  async open(): Promise<void> {
    try {
      await this.#attempt();
    } catch (error) {
      throw rabbitError(error);
    }
  }

  /** Called at every connection that stands, but the first. */
  onUp(listener: () => void): () => void {
    this.#onUp.add(listener);
    return () => this.#onUp.delete(listener);
  }

  /** Called when a connection is lost. */
  onDown(listener: (cause: unknown) => void): () => void {
    this.#onDown.add(listener);
    return () => this.#onDown.delete(listener);
  }

  /** Called when the server takes messages again. */
  onUnblocked(listener: () => void): () => void {
    this.#onUnblocked.add(listener);
    return () => this.#onUnblocked.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const model = this.#model;
    this.#model = undefined;
    if (model === undefined) return;
    await this.#inTime(model.close(), this.#times.commandTimeoutMs).catch(() => destroy(model));
  }

  /** Rejects what is not done in time. */
  async #inTime<T>(call: Promise<T>, ms: number): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = this.#times.clock.setTimer(ms, () =>
      reject(new CutOff(`RabbitMQ has answered nothing for ${ms} ms`)),
    );
    try {
      return await Promise.race([call, promise]);
    } finally {
      timer.cancel();
    }
  }

  async #attempt(): Promise<void> {
    const { connectTimeoutMs } = this.#times;
    const connecting = this.#connect();
    let model: ChannelModel;
    try {
      model = await this.#inTime(connecting, connectTimeoutMs);
    } catch (error) {
      connecting.then(destroy, () => {});
      throw error;
    }
    let cause: unknown;
    model.on("error", (error) => (cause = error));
    model.on("close", (error) => this.#lost(model, cause ?? error));
    model.on("blocked", (reason) => {
      if (this.#model === model) this.blockedBy = reason;
    });
    model.on("unblocked", () => {
      if (this.#model === model) this.#unblock();
    });
    try {
      const control = await this.#inTime(model.createChannel(), connectTimeoutMs);
      control.on("error", () => {});
      if (this.#closed) throw notConnected();
      this.#model = model;
      this.#cause = undefined;
      this.wasAway = this.#attempts > 1;
      this.#attempts = 0;
      this.#unblock();
      this.#watch(model, control);
    } catch (error) {
      destroy(model);
      throw error;
    }
  }

  #unblock(): void {
    if (this.blockedBy === undefined) return;
    this.blockedBy = undefined;
    for (const listener of this.#onUnblocked) listener();
  }

  #lost(model: ChannelModel, cause: unknown): void {
    if (this.#model !== model) return;
    this.#model = undefined;
    this.#cause = cause ?? new CutOff("the server closed it");
    this.#timer?.cancel();
    destroy(model);
    for (const listener of this.#onDown) listener(this.#cause);
    if (!this.#closed) this.#again();
  }

  /** Full jitter: clients that were cut off together do not come back together. */
  #again(): void {
    const { clock, maxReconnectMs } = this.#times;
    const bound = Math.min(maxReconnectMs, FIRST_PAUSE_MS * 2 ** Math.min(this.#attempts++, 20));
    this.#timer = clock.setTimer(Math.random() * bound, () => void this.#reconnect());
  }

  async #reconnect(): Promise<void> {
    try {
      await this.#attempt();
    } catch (error) {
      this.#cause = error;
      if (!this.#closed) this.#again();
      return;
    }
    for (const listener of this.#onUp) listener();
  }

  /** Asks for a sign of life four times a timeout; one that stays out for a whole timeout ends the connection. */
  #watch(model: ChannelModel, control: Channel): void {
    const { clock, commandTimeoutMs } = this.#times;
    const look = async (): Promise<void> => {
      if (this.#model !== model) return;
      try {
        // A server that blocks a connection reads nothing of it; the heartbeats of the client watch over it then.
        if (this.blockedBy === undefined)
          await this.#inTime(control.checkExchange(KNOWN_EXCHANGE), commandTimeoutMs);
      } catch (error) {
        if (!(error instanceof CutOff && this.blockedBy !== undefined)) {
          this.#lost(model, error);
          return;
        }
      }
      if (this.#model === model) this.#timer = clock.setTimer(commandTimeoutMs / 4, () => void look());
    };
    this.#timer = clock.setTimer(commandTimeoutMs / 4, () => void look());
  }
}
