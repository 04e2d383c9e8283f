import { subscribe as listen, unsubscribe as unlisten } from "node:diagnostics_channel";
import { RedisBroker, type RedisBrokerOptions } from "../../src/brokers/redis/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { startRedis, type RedisOptions, type TestServer } from "./servers/redis.ts";

/** What a broker said of messages that are gone. */
export interface Loss {
  readonly channel: string;
  readonly group: string;
  readonly count: number | null;
}

/** Redis brokers on Redis servers, ended after each test. */
export class RedisBench {
  #server: TestServer | undefined;
  readonly #cleanup: (() => unknown)[] = [];

  get server(): TestServer {
    if (this.#server === undefined) throw new Error("The Redis of these tests is not started.");
    return this.#server;
  }

  async start(): Promise<void> {
    this.#server = await startRedis();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** A server of its own for one test. */
  async own(options: RedisOptions = {}): Promise<TestServer> {
    const server = await startRedis(options);
    this.after(() => server.stop());
    return server;
  }

  /** Something to be done when the test ends. */
  after(task: () => unknown): void {
    this.#cleanup.push(task);
  }

  async cleanUp(): Promise<void> {
    for (const end of this.#cleanup.splice(0).toReversed()) await end();
  }

  /** A broker that is closed when the test ends. Brokers of one namespace share everything. */
  made(options: RedisBrokerOptions = {}): RedisBroker {
    const times = { leaseMs: 500, sweepMs: 200 };
    const url = options.url ?? this.server.url;
    const broker = new RedisBroker({ namespace: newPlace(), ...times, ...options, url });
    this.after(() => broker.close());
    return broker;
  }

  /** As {@link made}, and open. */
  async opened(options: RedisBrokerOptions = {}): Promise<RedisBroker> {
    const broker = this.made(options);
    await broker.open();
    return broker;
  }

  /** Everything that is told on one of Herald's events from now on. */
  told<T>(event: "herald:data-lost" | "herald:fault"): T[] {
    const found: T[] = [];
    const listener = (message: unknown): void => void found.push(message as T);
    listen(event, listener);
    this.after(() => unlisten(event, listener));
    return found;
  }

  losses(): Loss[] {
    return this.told<Loss>("herald:data-lost");
  }
}
