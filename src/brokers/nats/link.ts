import { randomBytes } from "node:crypto";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { Connect, Encoded, Incoming, RawClient } from "./client.ts";
import { CutOff, NobodyServes, natsError, notConnected } from "./errors.ts";

/** Times of a link. */
export interface LinkTimes {
  readonly clock: Clock;
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly maxReconnectMs: number;
}

/** Told of an answer, or of why there is none. False: more answers are to come. */
export type Done = (error: unknown, message: Incoming | undefined) => unknown;

interface Asked {
  readonly subject: string;
  readonly done: Done;
  readonly endsAt: number;
}

interface Listening {
  readonly subject: (inbox: string) => string;
  readonly listener: (message: Incoming) => void;
  held: { unsubscribe(): void } | undefined;
}

const FIRST_PAUSE_MS = 50;
const NOBODY = 503;

/**
 * A connection that is made again when it is lost. What was asked over a lost connection is rejected and never sent again; what
 * is asked while there is none is rejected at once. A connection that answers no PING in time is lost: half-open links
 * and stopped servers answer nothing, and all answers come in order.
 */
export class Link {
  readonly #connect: Connect;
  readonly #times: LinkTimes;
  readonly #onUp = new Set<() => void>();
  readonly #onDown = new Set<() => void>();
  readonly #listening = new Set<Listening>();
  readonly #asked = new Map<string, Asked>();
  #client: RawClient | undefined;
  /** Subjects of this connection alone begin so: what comes late for the one before finds nobody. */
  #inbox = "";
  #count = 0;
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

  /** What the server takes at most, headers and body together; of the connection that stands or stood last. */
  maxPayloadBytes = 1024 * 1024;

  /** Which run of which server the connection goes, or went last, to. */
  serverId = "";

  /** Where answers to this connection are to go: the subject's first tokens, with a dot behind. */
  get inbox(): string {
    return this.#inbox;
  }

  /** Connects for the first time. Rejects when that fails. */
  async open(): Promise<void> {
    try {
      await this.#attempt();
    } catch (error) {
      throw natsError(error);
    }
  }

  /** Called at every connection that stands, but the first. */
  onUp(listener: () => void): () => void {
    this.#onUp.add(listener);
    return () => this.#onUp.delete(listener);
  }

  /** Called when a connection is lost. */
  onDown(listener: () => void): () => void {
    this.#onDown.add(listener);
    return () => this.#onDown.delete(listener);
  }

  /** Writes, and hears nothing of it. Throws `NOT_CONNECTED` when there is no connection. */
  send(
    subject: string,
    body: Uint8Array | string,
    options?: { readonly reply?: string; readonly headers?: Encoded },
  ): void {
    if (this.#client === undefined) throw notConnected(this.#cause);
    this.#client.publish(subject, body, options);
  }

  /** Asks, and calls back with the answer, or with why there is none. Throws when nothing was written. */
  ask(subject: string, body: Uint8Array | string, done: Done, headers?: Encoded): void {
    const reply = `${this.#inbox}r.${(this.#count++).toString(36)}`;
    this.send(subject, body, headers === undefined ? { reply } : { reply, headers });
    const endsAt = this.#times.clock.monotonic() + this.#times.commandTimeoutMs;
    this.#asked.set(reply, { subject, done, endsAt });
  }

  /** {@link ask} as a promise. Rejects with `NOT_CONNECTED`, {@link CutOff} or {@link NobodyServes}. */
  async request(subject: string, body: Uint8Array | string, headers?: Encoded): Promise<Incoming> {
    return new Promise((resolve, reject) => {
      this.ask(
        subject,
        body,
        (error, message) => (message === undefined ? reject(error) : resolve(message)),
        headers,
      );
    });
  }

  /** Listens to a subject over every connection that will stand. Resolves when the server knows. */
  async listen(
    subject: (inbox: string) => string,
    listener: (message: Incoming) => void,
  ): Promise<{ unsubscribe(): void }> {
    const listening: Listening = { subject, listener, held: undefined };
    this.#listening.add(listening);
    const client = this.#client;
    if (client !== undefined) {
      listening.held = client.subscribe(subject(this.#inbox), listener);
      // Where the connection breaks here, the next one listens.
      await client.ping().catch(() => {});
    }
    return {
      unsubscribe: () => {
        this.#listening.delete(listening);
        if (this.isUp) listening.held?.unsubscribe();
      },
    };
  }

  /** Resolves when the server has everything that was written until now. */
  async flush(): Promise<void> {
    if (this.#client === undefined) throw notConnected(this.#cause);
    await this.#client.ping();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#client?.destroy();
    this.#client = undefined;
    this.#cutOff("the connection was closed");
  }

  async #attempt(): Promise<void> {
    let client: RawClient | undefined;
    let isLost = false;
    client = await this.#connect((cause) => {
      isLost = true;
      if (client !== undefined && this.#client === client) this.#lose(cause);
    });
    const inbox = `${client.inboxPrefix}.herald-${randomBytes(9).toString("hex")}.`;
    try {
      client.subscribe(`${inbox}r.*`, (message) => this.#answered(message));
      for (const one of this.#listening) one.held = client.subscribe(one.subject(inbox), one.listener);
      await this.#inTime(client.ping());
      if (isLost || this.#closed) throw notConnected();
    } catch (error) {
      client.destroy();
      throw error;
    }
    this.#inbox = inbox;
    this.maxPayloadBytes = client.maxPayloadBytes;
    this.serverId = client.serverId;
    this.#client = client;
    this.#cause = undefined;
    this.#attempts = 0;
    this.#watch(client);
  }

  /** A link that is half open when it is made answers nothing. */
  async #inTime(call: Promise<void>): Promise<void> {
    const { clock, connectTimeoutMs } = this.#times;
    const { promise, reject } = Promise.withResolvers<void>();
    const timer = clock.setTimer(connectTimeoutMs, () =>
      reject(new CutOff(`the server has answered nothing for ${connectTimeoutMs} ms`)),
    );
    try {
      await Promise.race([call, promise]);
    } finally {
      timer.cancel();
    }
  }

  #answered(message: Incoming): void {
    const asked = this.#asked.get(message.subject);
    if (asked === undefined) return;
    const isNobody = message.data.length === 0 && message.headers?.code === NOBODY;
    const isMore =
      asked.done(isNobody ? new NobodyServes(asked.subject) : undefined, isNobody ? undefined : message) ===
      false;
    if (!isMore) this.#asked.delete(message.subject);
  }

  #cutOff(why: string): void {
    const error = new CutOff(why);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { done } of asked) done(error, undefined);
  }

  /** All of them wait equally long, so the first is always the oldest. */
  #expire(now: number): void {
    for (const [reply, asked] of this.#asked) {
      if (asked.endsAt > now) return;
      this.#asked.delete(reply);
      asked.done(new CutOff(`no answer for ${this.#times.commandTimeoutMs} ms`), undefined);
    }
  }

  #lose(cause: unknown): void {
    const client = this.#client;
    this.#client = undefined;
    this.#cause = cause ?? new CutOff("the server closed it");
    this.#timer?.cancel();
    client?.destroy();
    for (const listener of this.#onDown) listener();
    this.#cutOff("the connection was lost");
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
      const now = clock.monotonic();
      this.#expire(now);
      if (answered) {
        answered = false;
        askedAt = now;
        client.ping().then(
          () => (answered = true),
          (error: unknown) => {
            if (this.#client === client) this.#lose(error);
          },
        );
      } else if (now - askedAt >= commandTimeoutMs) {
        this.#lose(new CutOff(`NATS has answered nothing for ${commandTimeoutMs} ms`));
        return;
      }
      this.#timer = clock.setTimer(commandTimeoutMs / 4, look);
    };
    this.#timer = clock.setTimer(commandTimeoutMs / 4, look);
  }
}
