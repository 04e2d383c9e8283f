import { isOtherwise } from "./errors.ts";
import { Lane } from "./lane.ts";
import { bindingKey, type Names } from "./names.ts";
import type { Session } from "./session.ts";

const QUORUM = { "x-queue-type": "quorum", "x-delivery-limit": -1 };
const FIRST_RUNG_MS = 25;
/** What a message comes early out of the server's queues, and waits for by who reads: the way from one queue to the next takes time too. */
const EARLY_MS = 175;
const DEFAULT_RETENTION_MS = 7 * 24 * 3_600_000;
/** Nineteen days: what waits longer goes round again. */
const LAST_RUNG_MS = FIRST_RUNG_MS * 2 ** 26;

/** How long the server keeps a message that is to wait so long, at one go; undefined: it is too short for that. */
export function rungFor(delayMs: number): number | undefined {
  const inServerMs = delayMs - EARLY_MS;
  if (!(inServerMs >= FIRST_RUNG_MS)) return undefined;
  return Math.min(LAST_RUNG_MS, FIRST_RUNG_MS * 2 ** Math.floor(Math.log2(inServerMs / FIRST_RUNG_MS)));
}

/** Makes exchanges, queues and bindings. All of it is there already where another process was first. */
export class Topology {
  readonly #names: Names;
  readonly #links: Session["links"];
  readonly #listenerExpiryMs: number;
  readonly #lane: Lane;
  readonly #rungs = new Map<string, Promise<void>>();

  constructor({ links, names, settings }: Session) {
    this.#names = names;
    this.#links = links;
    this.#listenerExpiryMs = settings.listenerExpiryMs;
    // What was made before may be gone with the server that it was made on.
    this.#lane = new Lane(links.consuming, { lost: () => this.#rungs.clear() });
  }

  /** Everything that a namespace has whoever reads. */
  async base(): Promise<void> {
    const { exchange, due, back, sink, dead, registry } = this.#names;
    const channel = await this.#lane.ready();
    const durable = { durable: true };
    const classic = { durable: true, arguments: { "x-queue-type": "classic" } };
    await Promise.all([
      channel.assertExchange(exchange, "topic", durable),
      channel.assertExchange(due, "fanout", durable),
      channel.assertExchange(sink, "fanout", durable),
      channel.assertExchange(dead, "fanout", durable),
      channel.assertExchange(back, "direct", { durable: true, alternateExchange: sink }),
      // The server dead-letters at least once: what no queue is there for would be tried for ever.
      channel.assertQueue(sink, { durable: true, arguments: { ...classic.arguments, "x-message-ttl": 0 } }),
      channel.assertQueue(dead, classic),
      channel.assertQueue(registry, { durable: true, arguments: { "x-queue-type": "stream" } }),
      channel.bindExchange(exchange, due, ""),
      channel.bindQueue(sink, due, ""),
      channel.bindQueue(sink, sink, ""),
      channel.bindQueue(dead, dead, ""),
    ]);
  }

  /** The queue of a group under a pattern. */
  async group(queue: string, pattern: string): Promise<void> {
    await this.#queue(queue, pattern, {
      durable: true,
      arguments: { ...QUORUM, "x-dead-letter-exchange": this.#names.dead },
    });
  }

  /** The queue of one broadcast subscription; it ends when nobody has read it for long enough. */
  async listener(queue: string, pattern: string): Promise<void> {
    await this.#queue(queue, pattern, {
      durable: true,
      arguments: {
        "x-queue-type": "classic",
        "x-expires": this.#listenerExpiryMs,
        "x-dead-letter-exchange": this.#names.dead,
      },
    });
  }

  /** Where messages wait so long before they go to every queue of their channel, or back to the one that they came from. */
  async rung(kind: "delay" | "retry", ms: number): Promise<string> {
    const name = this.#names.rung(kind, ms);
    let making = this.#rungs.get(name);
    if (making === undefined) {
      making = this.#makeRung(name, kind === "delay" ? this.#names.due : this.#names.back);
      this.#rungs.set(name, making);
      making.catch(() => this.#rungs.delete(name));
    }
    await making;
    return name;
  }

  /** The stream of what a channel retains. One that is there stays as it is. */
  async retain(channel: string, retentionMs = DEFAULT_RETENTION_MS): Promise<void> {
    const { exchange } = this.#names;
    const stream = this.#names.retained(channel);
    await this.stream(stream, retentionMs);
    await (await this.#lane.ready()).bindQueue(stream, exchange, channel);
  }

  /** A stream that keeps everything for so long. One that is there stays as it is. */
  async stream(name: string, keptMs: number): Promise<void> {
    // The server answers another declaration of what is there with the end of the channel.
    const channel = await this.#links.consuming.model.createChannel();
    channel.on("error", () => {});
    const kept = { "x-queue-type": "stream", "x-max-age": `${Math.max(1, Math.ceil(keptMs / 1000))}s` };
    try {
      await channel.assertQueue(name, { durable: true, arguments: kept });
      await channel.close();
    } catch (error) {
      if (!isOtherwise(error)) throw error;
    }
  }

  /** Takes out what nobody has yet; resolves to how many. */
  async purge(queue: string): Promise<number> {
    const channel = await this.#lane.ready();
    return (await channel.purgeQueue(queue)).messageCount;
  }

  /** Forgets a queue with all it holds. Unknown: no error. */
  async remove(queue: string): Promise<void> {
    const channel = await this.#lane.ready();
    await channel.deleteQueue(queue);
  }

  async close(): Promise<void> {
    await this.#lane.close();
  }

  async #queue(queue: string, pattern: string, options: object): Promise<void> {
    const { exchange, back } = this.#names;
    const channel = await this.#lane.ready();
    await Promise.all([
      channel.assertQueue(queue, options),
      channel.bindQueue(queue, back, queue),
      channel.bindQueue(queue, exchange, bindingKey(pattern)),
    ]);
  }

  async #makeRung(name: string, then: string): Promise<void> {
    const channel = await this.#lane.ready();
    await Promise.all([
      channel.assertExchange(name, "fanout", { durable: true }),
      channel.assertQueue(name, {
        durable: true,
        arguments: {
          ...QUORUM,
          "x-dead-letter-exchange": then,
          // Without these two, what is on its way when the server dies is lost.
          "x-dead-letter-strategy": "at-least-once",
          "x-overflow": "reject-publish",
        },
      }),
      channel.bindQueue(name, name, ""),
    ]);
  }
}
