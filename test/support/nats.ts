import { subscribe as listen, unsubscribe as unlisten } from "node:diagnostics_channel";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { NatsBroker, type NatsBrokerOptions } from "../../src/brokers/nats/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { startNats, type NatsOptions, type TestNats } from "./servers/nats.ts";

/** NATS brokers on NATS servers, ended after each test. */
export class NatsBench {
  #server: TestNats | undefined;
  readonly #cleanup: (() => unknown)[] = [];

  get server(): TestNats {
    if (this.#server === undefined) throw new Error("The NATS server of these tests is not started.");
    return this.#server;
  }

  async start(): Promise<void> {
    this.#server = await startNats();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** A server of its own for one test. */
  async own(options: NatsOptions = {}): Promise<TestNats> {
    const server = await startNats(options);
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
  made(options: NatsBrokerOptions = {}): NatsBroker {
    const times = { leaseMs: 500, sweepMs: 200, maxReconnectMs: 200, commandTimeoutMs: 1000 };
    const url = options.url ?? this.server.url;
    const broker = new NatsBroker({ namespace: newPlace(), ...times, ...options, url });
    this.after(() => broker.close());
    return broker;
  }

  /** As {@link made}, and open. */
  async opened(options: NatsBrokerOptions = {}): Promise<NatsBroker> {
    const broker = this.made(options);
    await broker.open();
    return broker;
  }

  /** The client package alone, as another program uses it. */
  async raw(server: TestNats = this.server): Promise<NatsConnection> {
    const connection = await connect({ servers: `127.0.0.1:${server.port}` });
    this.after(() => connection.close());
    return connection;
  }

  /** Everything that is told on one of Herald's events from now on. */
  told<T>(event: "herald:data-lost" | "herald:fault"): T[] {
    const found: T[] = [];
    const listener = (message: unknown): void => void found.push(message as T);
    listen(event, listener);
    this.after(() => unlisten(event, listener));
    return found;
  }
}
