import type { RedisClientType } from "@redis/client";
import type { QueueBaseOptions, RedisConnection, RedisQueueBackend } from "bullmq";
import { HeraldError } from "../../core/errors.ts";
import { notConnected } from "./errors.ts";
import type { BullMQSettings } from "./options.ts";

const CLOSE_MS = 1000;
const CONNECT_MS = 5000;

/** The two packages this broker is made of. */
interface Packages {
  readonly redis: typeof import("@redis/client");
  readonly bullmq: typeof import("bullmq");
}

/**
 * Two connections, however many queues: one for commands, one that hears of new jobs. BullMQ's queues are its own storage
 * operations over the first; no queue has a connection, a worker or a timer of its own.
 */
export class Connection {
  /** For commands. */
  readonly redis: RedisClientType;
  /** In subscriber mode. */
  readonly listener: RedisClientType;
  readonly #packages: Packages;
  readonly #settings: BullMQSettings;
  readonly #keys: {
    getKeys(queue: string): Record<string, string>;
    toKey(queue: string, key: string): string;
  };
  #bullmq!: RedisConnection;
  #isUp = false;

  private constructor(packages: Packages, settings: BullMQSettings) {
    this.#packages = packages;
    this.#settings = settings;
    this.#keys = new packages.bullmq.QueueKeys(settings.prefix);
    this.redis = this.#client();
    this.listener = this.#client();
  }

  /** Rejects with `UNSUPPORTED` without the packages, `NOT_CONNECTED` without the server, `UNAUTHENTICATED` when it refuses. */
  static async open(settings: BullMQSettings, signal?: AbortSignal): Promise<Connection> {
    const connection = new Connection(await loadPackages(), settings);
    const abort = (): void => connection.#destroy();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await connection.#connect();
      return connection;
    } catch (error) {
      connection.#destroy();
      throw openingError(error, settings.url, signal);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** BullMQ's operations on one queue. */
  queue(name: string): RedisQueueBackend {
    const { bullmq } = this.#packages;
    const { prefix, leaseMs, stalledCheckMs } = this.#settings;
    const options = {
      connection: {},
      prefix,
      lockDuration: Math.ceil(leaseMs),
      // Every loss of a lease counts as an attempt, so that the message ends in the dead letters and not as a failed job.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      // Keeps other processes from looking as well; shorter than our own rhythm, or every second look would find it.
      stalledInterval: Math.ceil(stalledCheckMs / 2),
    } as QueueBaseOptions;
    const keys = this.#keys.getKeys(name);
    const toKey = (key: string): string => this.#keys.toKey(name, key);
    return new bullmq.RedisQueueBackend(this.#bullmq, name, keys, toKey, options, undefined, false);
  }

  /** Of the broker itself, out of the way of every queue: no queue's name is empty. */
  key(name: string): string {
    return `${this.#settings.prefix}::${name}`;
  }

  /** Waits a moment for what is under way. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_MS)));
    const ended = [this.redis, this.listener].map(async (client) => {
      if (client.isReady) await client.close();
    });
    await Promise.race([Promise.allSettled(ended), late]);
    clearTimeout(timer);
    this.#destroy();
  }

  async #connect(): Promise<void> {
    await Promise.all([this.redis.connect(), this.listener.connect()]);
    this.#isUp = true;
    const { bullmq } = this.#packages;
    this.#bullmq = new bullmq.RedisConnection(bullmq.createNodeRedisClient(this.redis), {
      shared: true,
      blocking: false,
      // It would write its opinion of the server to the console.
      skipVersionCheck: true,
    });
    this.#bullmq.on("error", () => undefined);
    await this.#bullmq.client;
  }

  #client(): RedisClientType {
    const client = this.#packages.redis.createClient({
      url: this.#settings.url,
      RESP: 2,
      disableOfflineQueue: true,
      // A server that is there and does not answer is found out by its silence.
      pingInterval: this.#settings.timeoutMs / 4,
      socket: {
        socketTimeout: this.#settings.timeoutMs,
        connectTimeout: CONNECT_MS,
        reconnectStrategy: (retries, cause) =>
          this.#isUp ? Math.min(50 * 2 ** retries, 2000) + Math.floor(Math.random() * 100) : cause,
      },
    });
    // Every command says by its rejection what went wrong.
    client.on("error", () => undefined);
    return client as unknown as RedisClientType;
  }

  #destroy(): void {
    this.#isUp = false;
    for (const client of [this.redis, this.listener]) if (client.isOpen) client.destroy();
  }
}

async function loadPackages(): Promise<Packages> {
  try {
    const [redis, bullmq] = await Promise.all([import("@redis/client"), import("bullmq")]);
    return { redis, bullmq };
  } catch (cause) {
    const message =
      "The BullMQ broker needs the packages 'bullmq' and '@redis/client': run npm install bullmq @redis/client.";
    throw new HeraldError("UNSUPPORTED", message, {
      cause,
      details: { packages: ["bullmq", "@redis/client"] },
    });
  }
}

function openingError(cause: unknown, url: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true)
    return new HeraldError("CANCELLED", "Opening the BullMQ broker was cancelled.", { cause });
  const said = cause instanceof Error ? cause.message : "";
  if (/^(?:NOAUTH|WRONGPASS)|AUTH/.test(said))
    return new HeraldError(
      "UNAUTHENTICATED",
      `Redis refused the user or password of the BullMQ broker: ${said}`,
      {
        cause,
      },
    );
  return notConnected(`Redis does not answer at ${withoutSecrets(url)}: start it, or correct the URL`, cause);
}

function withoutSecrets(url: string): string {
  return URL.canParse(url) ? `${new URL(url).protocol}//${new URL(url).host}` : "its URL";
}
