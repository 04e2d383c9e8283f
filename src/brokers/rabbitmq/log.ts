import type { ConsumeMessage } from "amqplib";
import { isStarting, notConnected } from "./errors.ts";
import { Lane } from "./lane.ts";
import type { Session } from "./session.ts";
import type { Writer } from "./writer.ts";

/** That a group has handled an id, or nothing but a mark. */
export interface Handled {
  readonly name?: string;
  /** Epoch milliseconds. */
  readonly at?: number;
}

const PREFETCH = 500;
const STARTING_MS = 20;

/**
 * A stream of small entries that every process reads from its beginning, so that all of them see the same in the same order.
 * AMQP has no store that can be asked, and this is one.
 */
export class Log<Entry extends object> {
  readonly #session: Session;
  readonly #writer: Writer;
  readonly #stream: string;
  readonly #lane: Lane;
  readonly #waiting = new Map<string, () => void>();
  readonly #id: string;
  #count = 0;
  /** The mark of the very first entry: another one is the first of another stream. */
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
        const listener = (message: ConsumeMessage | null): void => {
          if (message === null) return;
          channel.ack(message);
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

  /** Resolves when the entry is stored, and everything before it was read here. */
  async append(entry: Entry): Promise<void> {
    const mark = this.#mark();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.set(mark, resolve);
    const { timers, settings } = this.#session;
    const late = timers.after(settings.commandTimeoutMs, () => reject(notConnected()));
    try {
      this.#send({ ...entry, mark }, (error) => {
        if (error !== undefined) reject(error);
      });
      await promise;
    } finally {
      late.cancel();
      this.#waiting.delete(mark);
    }
  }

  /** Resolves when the entry is stored. */
  store(entry: Entry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#send({ ...entry, mark: this.#mark() }, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  }

  async close(): Promise<void> {
    await this.#lane.close();
  }

  #mark(): string {
    return `${this.#id}-${this.#count++}`;
  }

  #send(entry: object, done: (error: unknown) => void): void {
    const body = Buffer.from(JSON.stringify(entry));
    const properties = { persistent: true, contentType: "application/json" };
    this.#writer.send({ exchange: "", key: this.#stream, body, properties, done });
  }

  #read({ content, properties }: ConsumeMessage, read: (entry: Entry) => void): void {
    let entry: Entry & { readonly mark?: string };
    try {
      entry = JSON.parse(content.toString("utf8")) as typeof entry;
    } catch {
      return;
    }
    const offset = Number(properties.headers?.["x-stream-offset"]);
    if (offset === 0 && entry.mark !== this.#first) {
      this.#first = entry.mark;
      this.#last = -1;
    }
    if (offset > this.#last) read(entry);
    this.#last = Math.max(this.#last, offset);
    if (entry.mark !== undefined) this.#waiting.get(entry.mark)?.();
  }
}
