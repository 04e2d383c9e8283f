import type { ConsumeMessage } from "amqplib";
import { randomBytes } from "node:crypto";
import type { StoredEnvelope } from "../../core/broker.ts";
import { decode } from "./codec.ts";
import { CutOff, isMissing } from "./errors.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";
import type { Writer } from "./writer.ts";

const PREFETCH = 500;
/** A message that only says how far somebody has read. */
const MARK = "herald-mark";

/** What channels retain: a stream each, read without taking anything out. */
export class Retained {
  readonly #session: Session;
  readonly #writer: Writer;
  readonly #registry: Registry;

  constructor(session: Session, writer: Writer, registry: Registry) {
    this.#session = session;
    this.#writer = writer;
    this.#registry = registry;
  }

  /** What stands after an offset, the oldest first, up to what was stored when it was called. */
  async read(channel: string, after: number, limit: number): Promise<readonly StoredEnvelope[]> {
    if (limit <= 0 || !this.#registry.declared.has(channel)) return [];
    const { links, names, settings, timers, clock } = this.#session;
    const stream = names.retained(channel);
    const mark = randomBytes(9).toString("hex");
    await this.#mark(stream, mark);
    const reading = await links.consuming.model.createChannel();
    const found: StoredEnvelope[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Where the server refuses before anybody waits for it, that is told by what was asked.
    promise.catch(() => {});
    reading.on("error", reject);
    reading.on("close", () => reject(new CutOff("the channel was closed")));
    const late = timers.after(settings.commandTimeoutMs, () =>
      reject(new CutOff(`RabbitMQ has brought nothing for ${settings.commandTimeoutMs} ms`)),
    );
    const listener = (message: ConsumeMessage | null): void => {
      if (message === null) return resolve();
      reading.ack(message);
      const headers = message.properties.headers ?? {};
      const offset = Number(headers["x-stream-offset"]);
      if (headers[MARK] === mark) return resolve();
      // The server begins with the chunk that holds the offset.
      if (headers[MARK] !== undefined || offset <= after || found.length >= limit) return;
      if (this.#registry.isErased(channel, offset)) return;
      found.push({ envelope: decode(message, clock.now()).envelope, position: String(offset) });
      if (found.length >= limit) resolve();
    };
    try {
      await reading.prefetch(PREFETCH);
      const from = after < 0 ? "first" : after + 1;
      await reading.consume(stream, listener, { arguments: { "x-stream-offset": from } });
      await promise;
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    } finally {
      late.cancel();
      reading.close().catch(() => {});
    }
    return found;
  }

  #mark(stream: string, mark: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const properties = { persistent: true, headers: { [MARK]: mark } };
      const done = (error: unknown): void => (error === undefined ? resolve() : reject(error));
      this.#writer.send({ exchange: "", key: stream, body: new Uint8Array(0), properties, done });
    });
  }
}
