import type { ConfirmChannel } from "amqplib";
import { CutOff, notConnected } from "./errors.ts";
import type { Link } from "./link.ts";

/** What happens around a lane. */
export interface LaneOptions {
  /** A channel stands: the first, and every one after. It is in use once this has resolved. */
  readonly made?: (channel: ConfirmChannel) => Promise<void> | void;
  /** It is in use. */
  readonly stands?: () => void;
  /** The channel was lost, and whatever was not answered over it is in doubt. */
  readonly lost?: (cause: unknown) => void;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/** One AMQP channel of a link, made again whenever it or its connection is lost. An old handle is never kept. */
export class Lane {
  readonly #link: Link;
  readonly #options: LaneOptions;
  readonly #off: () => void;
  #channel: ConfirmChannel | undefined;
  #making: Promise<ConfirmChannel> | undefined;
  #isClosed = false;
  /** Goes in vain since it last stood. */
  #vain = 0;

  constructor(link: Link, options: LaneOptions = {}) {
    this.#link = link;
    this.#options = options;
    this.#off = link.onUp(() => this.#again());
  }

  /** The channel that stands now. */
  get channel(): ConfirmChannel | undefined {
    return this.#channel;
  }

  /** A channel that stands; it is made when there is none. Rejects with `NOT_CONNECTED`. */
  ready(): Promise<ConfirmChannel> {
    if (this.#channel !== undefined) return Promise.resolve(this.#channel);
    this.#making ??= this.#make().finally(() => (this.#making = undefined));
    return this.#making;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#off();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    // Where the connection ends meanwhile, there is no answer.
    channel.on("close", resolve);
    // Everything that was written before is carried out before the answer.
    channel.close().then(resolve, resolve);
    await promise;
  }

  async #make(): Promise<ConfirmChannel> {
    if (this.#isClosed) throw notConnected();
    const channel = await this.#link.model.createConfirmChannel();
    let cause: unknown;
    let isOver = false;
    channel.on("error", (error) => (cause = error));
    channel.on("close", () => {
      isOver = true;
      if (this.#channel === channel) this.#lose(cause ?? new CutOff("the channel was closed"));
    });
    try {
      await this.#options.made?.(channel);
      if (isOver || this.#isClosed) throw cause ?? new CutOff("the channel was closed");
    } catch (error) {
      if (!isOver) channel.close().catch(() => {});
      throw error;
    }
    this.#channel = channel;
    this.#vain = 0;
    this.#options.stands?.();
    return channel;
  }

  #lose(cause: unknown): void {
    this.#channel = undefined;
    this.#options.lost?.(cause);
    if (this.#link.isUp) this.#again();
  }

  #again(): void {
    if (this.#isClosed) return;
    this.ready().catch(() => {
      if (this.#isClosed || !this.#link.isUp) return;
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#vain++);
      setTimeout(() => this.#again(), pauseMs).unref();
    });
  }
}
