import type { Clock, TimerHandle } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";
import { notConnected, redisError, replyCode } from "./errors.ts";
import type { Script } from "./script.ts";

/** One connection, or one set of connections to a cluster, as the client package gives it. It is used once and never reconnects. */
export interface RawClient {
  /** `key` says where in a cluster the command goes. Resolves to the server's answer, in RESP 2 shapes. */
  send(key: string, args: readonly string[]): Promise<unknown>;
  /** Resolves when every server it is connected to has answered. */
  ping(): Promise<void>;
  /** A channel that holds `*` is a pattern. */
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  /** Ends it at once; what is unanswered is rejected. */
  destroy(): void;
}

/** Makes a client that is connected; `onLost` is called once when it is of no use any more. */
export type Connect = (onLost: (cause: unknown) => void) => Promise<RawClient>;

/** Times of a link. */
export interface LinkTimes {
  readonly clock: Clock;
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly maxReconnectMs: number;
}

const FIRST_PAUSE_MS = 50;

/**
 * A connection that is made again when it is lost. What was sent over a lost connection is rejected and never sent again; what
 * is asked while there is none is rejected at once. A connection that answers no PING in time is lost: half-open links
 * and stopped servers answer nothing, and all answers come in order.
 */
export class Link {
  readonly #connect: Connect;
  readonly #times: LinkTimes;
  readonly #onUp = new Set<() => void>();
  readonly #listeners = new Map<string, Set<(message: string) => void>>();
  #client: RawClient | undefined;
  #cause: unknown;
  #timer: TimerHandle | undefined;
  #attempts = 0;
  #closed = false;

  constructor(connect: Connect, times: LinkTimes) {
    this.#connect = connect;
    this.#times = times;
  }

  get isUp(): boolean {
    return this.#client !== undefined;
  }

  /** Connects for the first time. Rejects when that fails for as long as a connection may take. */
  async open(): Promise<void> {
    const { clock, connectTimeoutMs } = this.#times;
    const endsAt = clock.monotonic() + connectTimeoutMs;
    for (;;) {
      try {
        await this.#attempt();
        return;
      } catch (error) {
        // A server that starts answers LOADING until it has read its data.
        if (replyCode(error) !== "LOADING" || clock.monotonic() >= endsAt) throw redisError(error);
        await new Promise<void>((resolve) => void clock.setTimer(FIRST_PAUSE_MS, resolve));
      }
    }
  }

  /** Called at every connection that stands, but the first. */
  onUp(listener: () => void): () => void {
    this.#onUp.add(listener);
    return () => this.#onUp.delete(listener);
  }

  /** Rejects with `NOT_CONNECTED` when there is no connection, and with the client's own error otherwise. */
  send(key: string, args: readonly string[]): Promise<unknown> {
    if (this.#client === undefined) return Promise.reject(notConnected(this.#cause));
    return this.#client.send(key, args);
  }

  /** Runs a script of the channel whose base key is `key`. */
  async run(script: Script, key: string, args: readonly string[]): Promise<unknown> {
    try {
      return await this.send(key, ["EVALSHA", script.sha, "1", key, ...args]);
    } catch (error) {
      if (replyCode(error) !== "NOSCRIPT") throw error;
      return this.send(key, ["EVAL", script.text, "1", key, ...args]);
    }
  }

  /** Listens to a pub/sub channel, over every connection that will stand. */
  async subscribe(channel: string, listener: (message: string) => void): Promise<void> {
    const known = this.#listeners.get(channel);
    if (known !== undefined) {
      known.add(listener);
      return;
    }
    this.#listeners.set(channel, new Set([listener]));
    await this.#client?.subscribe(channel, (message) => this.#heard(channel, message));
  }

  async unsubscribe(channel: string, listener: (message: string) => void): Promise<void> {
    const known = this.#listeners.get(channel);
    if (known === undefined || !known.delete(listener) || known.size > 0) return;
    this.#listeners.delete(channel);
    await this.#client?.unsubscribe(channel);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#client?.destroy();
    this.#client = undefined;
  }

  #heard(channel: string, message: string): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(message);
  }

  async #attempt(): Promise<void> {
    let client: RawClient | undefined;
    let isLost = false;
    const lost = (cause: unknown): void => {
      isLost = true;
      if (client !== undefined && this.#client === client) this.#lose(cause);
    };
    client = await this.#connect(lost);
    try {
      await client.ping();
      for (const channel of this.#listeners.keys())
        await client.subscribe(channel, (message) => this.#heard(channel, message));
      if (isLost || this.#closed) throw notConnected();
    } catch (error) {
      client.destroy();
      throw error;
    }
    this.#client = client;
    this.#cause = undefined;
    this.#attempts = 0;
    this.#watch(client);
  }

  #lose(cause: unknown): void {
    const client = this.#client;
    this.#client = undefined;
    this.#cause = cause;
    this.#timer?.cancel();
    client?.destroy();
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
  #watch(client: RawClient): void {
    const { clock, commandTimeoutMs } = this.#times;
    let answered = true;
    let askedAt = 0;
    const look = (): void => {
      if (this.#client !== client) return;
      if (answered) {
        answered = false;
        askedAt = clock.monotonic();
        client.ping().then(
          () => (answered = true),
          (error: unknown) => {
            if (this.#client === client) this.#lose(error);
          },
        );
      } else if (clock.monotonic() - askedAt >= commandTimeoutMs) {
        const message = `Redis has answered nothing for ${commandTimeoutMs} ms.`;
        this.#lose(new HeraldError("TIMEOUT", message));
        return;
      }
      this.#timer = clock.setTimer(commandTimeoutMs / 4, look);
    };
    this.#timer = clock.setTimer(commandTimeoutMs / 4, look);
  }
}
