import type { ConsumeMessage } from "amqplib";
import { isStarting, notConnected } from "./errors.ts";
import { Lane } from "./lane.ts";
import type { Session } from "./session.ts";
import type { Writer } from "./writer.ts";

/** That a group has handled an id. */
export interface Handled {
  readonly name: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

const PREFETCH = 500;
/** Acknowledgements to a stream only ask for more: a quarter of the window at a time. */
const ACK_EVERY = PREFETCH / 4;
const STARTING_MS = 20;
/** Entries of one message. */
const MOST_ENTRIES = 1000;

/** Entries that are stored as one message. */
interface Batch<Entry> {
  readonly mark: string;
  readonly entries: Entry[];
  /** Told when it is stored, or why it is not. */
  readonly stored: ((error: unknown) => void)[];
  /** Told when it was read here. */
  readonly read: (() => void)[];
}

/**
 * A stream of small entries that every process reads from its beginning, so that all of them see the same in the same order.
 * AMQP has no store that can be asked, and this is one. What comes while a message is on its way to the server goes with the
 * next: whoever begins reads few messages.
 */
export class Log<Entry extends object> {
  readonly #session: Session;
  readonly #writer: Writer;
  readonly #stream: string;
  readonly #lane: Lane;
  /** By its mark: what was sent and somebody waits to read. */
  readonly #unread = new Map<string, Batch<Entry>>();
  readonly #id: string;
  #count = 0;
  /** What is to be sent, the oldest first; the last one takes more. */
  readonly #batches: Batch<Entry>[] = [];
  #isSending = false;
  #unacknowledged = 0;
  /** The mark of the very first message: another one is the first of another stream. */
  #first: string | undefined;
  #last = -1;

  /** `read` is called once for every entry, and again where the server has lost the stream and another one stands. */
  constructor(
    parts: {
      readonly session: Session;
      readonly writer: Writer;
      readonly stream: string;
      readonly id: string;
    },
    read: (entry: Entry) => void,
  ) {
    this.#session = parts.session;
    this.#writer = parts.writer;
    this.#stream = parts.stream;
    this.#id = parts.id;
    this.#lane = new Lane(parts.session.links.consuming, {
      made: async (channel) => {
        await channel.prefetch(PREFETCH);
        this.#unacknowledged = 0;
        const listener = (message: ConsumeMessage | null): void => {
          if (message === null) return;
          if (++this.#unacknowledged >= ACK_EVERY) {
            this.#unacknowledged = 0;
            channel.ack(message, true);
          }
          this.#read(message, read);
        };
        await channel.consume(parts.stream, listener, { arguments: { "x-stream-offset": "first" } });
      },
    });
  }

  /** A stream that another process has just made may not be served yet, and is in a moment. */
  async open(): Promise<void> {
    const { timers, settings } = this.#session;
    const until = timers.monotonic() + settings.commandTimeoutMs;
    for (;;) {
      try {
        await this.#lane.ready();
        return;
      } catch (error) {
        if (!isStarting(error) || timers.monotonic() >= until) throw error;
        await timers.pause(STARTING_MS).over;
      }
    }
  }

  /** Resolves when the entry is stored, and everything before it was read here; without one, when everything before was read. */
  async append(entry?: Entry): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { timers, settings } = this.#session;
    const late = timers.after(settings.commandTimeoutMs, () => reject(notConnected()));
    const { read, stored } = this.#batch(entry);
    read.push(resolve);
    stored.push((error) => {
      if (error !== undefined) reject(error);
    });
    try {
      await promise;
    } finally {
      late.cancel();
    }
  }

  /** Resolves when the entry is stored. */
  store(entry: Entry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#batch(entry).stored.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  async close(): Promise<void> {
    await this.#lane.close();
  }

  /** The message that it will be in. */
  #batch(entry: Entry | undefined): Batch<Entry> {
    let batch = this.#batches.at(-1);
    if (batch === undefined || batch.entries.length >= MOST_ENTRIES) {
      batch = { mark: `${this.#id}-${this.#count++}`, entries: [], stored: [], read: [] };
      this.#batches.push(batch);
      // What is done in this turn goes together.
      if (!this.#isSending) queueMicrotask(() => this.#send());
    }
    if (entry !== undefined) batch.entries.push(entry);
    return batch;
  }

  #send(): void {
    if (this.#isSending) return;
    const batch = this.#batches.shift();
    if (batch === undefined) return;
    this.#isSending = true;
    const { mark, entries, stored, read } = batch;
    if (read.length > 0) this.#unread.set(mark, batch);
    const body = Buffer.from(JSON.stringify({ mark, entries }));
    const properties = { persistent: true, contentType: "application/json" };
    const done = (error: unknown): void => {
      this.#isSending = false;
      if (error !== undefined) this.#unread.delete(mark);
      for (const tell of stored) tell(error);
      this.#send();
    };
    this.#writer.send({ exchange: "", key: this.#stream, body, properties, done });
  }

  #read({ content, properties }: ConsumeMessage, read: (entry: Entry) => void): void {
    let message: { readonly mark: string; readonly entries: readonly Entry[] };
    try {
      message = JSON.parse(content.toString("utf8")) as typeof message;
    } catch {
      return;
    }
    const offset = Number(properties.headers?.["x-stream-offset"]);
    if (offset === 0 && message.mark !== this.#first) {
      this.#first = message.mark;
      this.#last = -1;
    }
    if (offset > this.#last) for (const entry of message.entries) read(entry);
    this.#last = Math.max(this.#last, offset);
    for (const tell of this.#unread.get(message.mark)?.read ?? []) tell();
    this.#unread.delete(message.mark);
  }
}
